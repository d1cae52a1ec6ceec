"""A person's labels: their names, and how many conversations have each."""

from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import aget_object_or_404, render
from django.urls import reverse
from django.utils.translation import gettext
from django.views.decorators.http import require_GET

from chat.database import in_thread, retry_on_deadlock
from chat.forms import LabelForm, add_label_error
from chat.models import Label
from chat.models.labels import LabelError
from chat.views.pages import SeeOther, form_methods
from chat.views.problems import SignedInRequest, queued_per_person, signed_in


@require_GET
@signed_in
@queued_per_person
async def labels(request: SignedInRequest) -> HttpResponse:
    return await in_thread(_page)(request)


@form_methods
@signed_in
async def rename_label(request: SignedInRequest, pk: UUID) -> HttpResponse:
    label = await _get_label(request, pk)
    if request.method == "GET":
        return SeeOther(reverse("labels"))
    form = LabelForm(request.POST, label)
    if not form.is_valid():
        return await in_thread(_page)(request, form)
    try:
        await in_thread(retry_on_deadlock(label.rename))(form.cleaned_data["name"])
    except LabelError as error:
        add_label_error(form, error)
        return await in_thread(_page)(request, form)
    messages.success(request, gettext("The label is called “%(name)s” now.") % form.cleaned_data)
    return SeeOther(reverse("labels"))


@form_methods
@signed_in
async def delete_label(request: SignedInRequest, pk: UUID) -> HttpResponse:
    """Ask first, then delete it. The conversations that have it stay."""
    label = await _get_label(request, pk)
    if request.method == "GET":
        return await in_thread(render)(request, "chat/delete_label.html", {"label": label})
    await in_thread(retry_on_deadlock(label.remove))()
    messages.success(request, gettext("The label “%(name)s” is deleted.") % {"name": label.name})
    return SeeOther(reverse("labels"))


async def _get_label(request: SignedInRequest, pk: UUID) -> Label:
    return await aget_object_or_404(Label.objects.for_user(request.user).with_counts(), pk=pk)


def _page(request: SignedInRequest, refused: LabelForm | None = None) -> HttpResponse:
    """The page, with the name that was refused at its label."""
    labels = Label.objects.for_user(request.user).with_counts()
    forms = [refused if refused and refused.label == label else LabelForm(None, label) for label in labels]
    return render(request, "chat/labels.html", {"forms": forms}, status=422 if refused else 200)
