"""What a person does with several conversations at once: in the sidebar, or on the pages that list them."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import messages
from django.db.models import Q
from django.http import Http404, HttpResponse, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext, ngettext
from django.views.decorators.http import require_GET

from chat.database import in_thread, retry_on_deadlock
from chat.forms import GiveForm, add_label_error
from chat.models import Conversation, Labelling, User
from chat.models.labels import LabelError
from chat.trash import erase_some, put, restore
from chat.views.pages import SeeOther, form_methods
from chat.views.problems import Refusal, SignedInRequest, complaints, queued_per_person, signed_in, wants_json
from chat.views.shelf import shelf

# At most this many conversations are selected in one request.
MOST = 500
# The pages with such forms, to which these lead back.
PAGES = ("select", "archive", "trash")


@dataclass(frozen=True, slots=True)
class Done:
    """How many of the selected conversations there were, the sentence about it, and what undoes a deletion."""

    count: int
    sentence: str
    deleted: datetime | None = None


@require_GET
@signed_in
@queued_per_person
async def select(request: SignedInRequest) -> HttpResponse:
    """The conversations of the sidebar on a page, which works without scripts."""
    listed = Conversation.objects.for_user(request.user).listed()
    return await in_thread(shelf)(request, "chat/select.html", listed.only("title", "updated"))


@form_methods
@signed_in
async def act(request: SignedInRequest) -> HttpResponse:
    """Do one thing with all selected conversations of one's own, in one transaction; only erasing takes several."""
    if request.method == "GET":
        return SeeOther(reverse("select"))
    work = ACTS.get(request.POST.get("do", ""))
    if work is None:
        raise Refusal(422, "bad_act", gettext("There is no such choice. Reload the page and try again."))
    return await _answer(request, partial(work, request.user))


@form_methods
@signed_in
async def label_selection(request: SignedInRequest) -> HttpResponse:
    """Give the selected conversations a label, which may be new, or take one from them; asks which, first."""
    form = GiveForm(request.POST if "do" in request.POST else None, person=request.user)
    if not form.is_bound:
        return await _ask(request, "chat/label_selection.html", {"form": form})

    def work(pks: Collection[UUID]) -> Done | None:
        if not form.is_valid():
            return None
        try:
            return _label(request.user, pks, **form.cleaned_data)
        except LabelError as error:
            add_label_error(form, error)
            return None

    return await _answer(request, work, form)


@form_methods
@signed_in
async def erase_selection(request: SignedInRequest) -> HttpResponse:
    """Ask first."""
    return await _ask(request, "chat/erase.html", {})


def _selected(request: SignedInRequest) -> set[UUID]:
    """The conversations that are named. Raises Refusal, and Http404 for what cannot be one."""
    values = request.POST.getlist("conversation")
    if not values:
        raise Refusal(422, "nothing_selected", gettext("Select conversations first."))
    if len(values) > MOST:
        sentence = gettext("You can select %(most)d conversations at once. You have selected %(count)d.")
        raise Refusal(422, "too_many_selected", sentence % {"most": MOST, "count": len(values)})
    try:
        return set(map(UUID, values))
    except ValueError:
        raise Http404 from None


def _was_on(request: SignedInRequest) -> dict[str, str]:
    """The page where the person was, and the id of the label that they had chosen there, as they sent it."""
    page = request.POST.get("back", "")
    return {"back": page if page in PAGES else "select", "filter": request.POST.get("filter", "")}


def _back(request: SignedInRequest, **query: str) -> str:
    """The address of that page."""
    was = _was_on(request)
    query |= {"label": was["filter"]} if was["filter"] else {}
    return reverse(was["back"]) + (f"?{urlencode(query)}" if query else "")


async def _ask(request: SignedInRequest, template: str, context: dict[str, Any], status: int = 200) -> HttpResponse:
    """A page that asks about the selected conversations, and names them in its form."""
    try:
        selected = set() if request.method == "GET" else _selected(request)
    except Refusal as refusal:
        return _refused(request, refusal)
    context |= {"selected": selected, "count": len(selected), "cancel": _back(request), **_was_on(request)}
    return await in_thread(render)(request, template, context, status=status)


def _refused(request: SignedInRequest, refusal: Refusal) -> HttpResponse:
    """Say why nothing was done, where the person was."""
    if wants_json(request):
        raise refusal
    messages.error(request, refusal.message)
    return SeeOther(_back(request))


async def _answer(
    request: SignedInRequest, work: Callable[[Collection[UUID]], Done | None], form: GiveForm | None = None
) -> HttpResponse:
    """Do the work, and say so where the person was. The form has what is wrong if nothing was done."""
    try:
        selected = _selected(request)
    except Refusal as refusal:
        return _refused(request, refusal)
    done = await in_thread(work)(selected)
    if form and not done:
        if wants_json(request):
            return complaints(form)
        return await _ask(request, "chat/label_selection.html", {"form": form}, 422)
    if not done or not done.count:
        raise Http404
    moment = {"deleted": done.deleted.isoformat()} if done.deleted else {}
    if wants_json(request):
        return JsonResponse({"count": done.count, "message": done.sentence, **moment})
    if not moment:
        messages.success(request, done.sentence)
    return SeeOther(_back(request, **moment))


def _pin(person: User, pks: Collection[UUID]) -> Done:
    count = retry_on_deadlock(Conversation.objects.set_pinned)(person, pks, pinned=True)
    sentence = ngettext("%(count)d conversation is pinned.", "%(count)d conversations are pinned.", count)
    return Done(count, sentence % {"count": count})


def _unpin(person: User, pks: Collection[UUID]) -> Done:
    count = retry_on_deadlock(Conversation.objects.set_pinned)(person, pks, pinned=False)
    sentence = ngettext(
        "%(count)d conversation is no longer pinned.", "%(count)d conversations are no longer pinned.", count
    )
    return Done(count, sentence % {"count": count})


def _archive(person: User, pks: Collection[UUID]) -> Done:
    count = retry_on_deadlock(Conversation.objects.set_archived)(person, pks, archived=True)
    sentence = ngettext(
        "%(count)d conversation is in the archive.", "%(count)d conversations are in the archive.", count
    )
    return Done(count, sentence % {"count": count})


def _unarchive(person: User, pks: Collection[UUID]) -> Done:
    count = retry_on_deadlock(Conversation.objects.set_archived)(person, pks, archived=False)
    return Done(count, _back_in_list(count))


def _delete(person: User, pks: Collection[UUID]) -> Done:
    moment = put(person, pks)
    count = Conversation.objects.trash_of(person).filter(trashed=moment).count() if moment else 0
    sentence = ngettext("%(count)d conversation is in the trash.", "%(count)d conversations are in the trash.", count)
    return Done(count, sentence % {"count": count}, moment)


def _restore(person: User, pks: Collection[UUID]) -> Done:
    count = len(restore(person, Q(pk__in=pks)))
    return Done(count, _back_in_list(count))


def _erase(person: User, pks: Collection[UUID]) -> Done:
    """In portions, as all else waits for each. What is left if it breaks off is still in the trash."""
    in_trash = Conversation.objects.trash_of(person).filter(pk__in=pks)
    count = 0
    while erased := erase_some(in_trash):
        count += erased
    sentence = ngettext(
        "%(count)d conversation is deleted for ever.", "%(count)d conversations are deleted for ever.", count
    )
    return Done(count, sentence % {"count": count})


ACTS: dict[str, Callable[[User, Collection[UUID]], Done]] = {
    "pin": _pin,
    "unpin": _unpin,
    "archive": _archive,
    "unarchive": _unarchive,
    "delete": _delete,
    "restore": _restore,
    "erase": _erase,
}


def _label(person: User, pks: Collection[UUID], do: str, label: Any, name: str) -> Done:
    if do == "give":
        given, count = retry_on_deadlock(Labelling.objects.give)(person, pks, label, name)
        sentence = ngettext(
            "%(count)d conversation has the label “%(name)s”.",
            "%(count)d conversations have the label “%(name)s”.",
            count,
        )
        return Done(count, sentence % {"count": count, "name": given.name})
    count = retry_on_deadlock(Labelling.objects.take)(person, pks, label)
    sentence = ngettext(
        "The label “%(name)s” is taken from %(count)d conversation.",
        "The label “%(name)s” is taken from %(count)d conversations.",
        count,
    )
    return Done(count, sentence % {"count": count, "name": label.name})


def _back_in_list(count: int) -> str:
    sentence = ngettext(
        "%(count)d conversation is back in your list.", "%(count)d conversations are back in your list.", count
    )
    return sentence % {"count": count}
