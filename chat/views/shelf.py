"""A page that lists conversations, in which several can be selected: the list, the archive, the trash."""

from typing import Any

from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import render

from chat.models import Label, Labelling
from chat.views.history import chosen_label
from chat.views.pages import deleted
from chat.views.problems import SignedInRequest

# A page shows this many conversations.
SHOWN = 50


def shelf(request: SignedInRequest, template: str, rows: QuerySet[Any], **context: Any) -> HttpResponse:
    """The page of the query, with what has the label of the query if that names one; with `all`, all are selected."""
    labels = Label.objects.names(request.user.pk)
    label = chosen_label(request, labels)
    if label:
        rows = rows.filter(pk__in=Labelling.objects.conversations(label.pk))
    shown = Paginator(rows, SHOWN).get_page(request.GET.get("page"))
    Labelling.objects.show_on(list(shown), labels)
    # As in the sidebar.
    history = {"labels": labels, "label": label}
    context |= {"shown": shown, "history": history, "deleted": deleted(request), "are_all": "all" in request.GET}
    return render(request, template, context)
