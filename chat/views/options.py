"""What a person does with a conversation as a whole: rename, pin, archive, label; and the archive."""

from uuid import UUID

from django.http import HttpResponse, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_GET

from chat.database import in_thread, retry_on_deadlock
from chat.forms import LabelsForm, OptionsForm, add_label_error
from chat.models import Conversation, Label, Labelling
from chat.models.labels import LabelError
from chat.views.pages import SeeOther, fields, form_methods, get_lasting
from chat.views.problems import Refusal, SignedInRequest, complaints, queued_per_person, signed_in, wants_json
from chat.views.shelf import shelf


@form_methods
@signed_in
async def options(request: SignedInRequest, pk: UUID) -> HttpResponse:
    """A page with all that can be done with a conversation; sets what is sent."""
    conversation = await get_lasting(request, pk)
    if request.method == "GET":
        return await _page(request, conversation)
    form = OptionsForm(fields(request))
    if not form.is_valid():
        if wants_json(request):
            raise Refusal(422, "bad_options", str(next(iter(form.errors.values()))[0]))
        return await _page(request, conversation, form=form)
    await in_thread(retry_on_deadlock(conversation.set_options))(**form.changes)
    if wants_json(request):
        return JsonResponse({name: getattr(conversation, name) for name in form.fields})
    return SeeOther(reverse("archive") if "archived" in form.changes else conversation.get_absolute_url())


@form_methods
@signed_in
async def conversation_labels(request: SignedInRequest, pk: UUID) -> HttpResponse:
    """Give a conversation the labels that are sent, and no others; one may be new."""
    conversation = await get_lasting(request, pk)
    if request.method == "GET":
        return SeeOther(reverse("options", args=[pk]))
    form = LabelsForm(request.POST, person=request.user)
    if await in_thread(_labelled)(conversation, form):
        return JsonResponse({}) if wants_json(request) else SeeOther(reverse("options", args=[pk]))
    return complaints(form) if wants_json(request) else await _page(request, conversation, labels=form)


def _labelled(conversation: Conversation, form: LabelsForm) -> bool:
    """Give it the labels, unless they are refused."""
    choose = retry_on_deadlock(Labelling.objects.choose)
    try:
        if form.is_valid():
            choose(conversation, form.cleaned_data["labels"], form.cleaned_data["name"])
    except LabelError as error:
        add_label_error(form, error)
    return form.is_valid()


@require_GET
@signed_in
@queued_per_person
async def archive(request: SignedInRequest) -> HttpResponse:
    """The conversations that are in the archive."""

    archived = Conversation.objects.for_user(request.user).filter(archived=True).order_by("-updated", "-pk")
    return await in_thread(shelf)(request, "chat/archive.html", archived.only("title", "updated"))


async def _page(
    request: SignedInRequest,
    conversation: Conversation,
    form: OptionsForm | None = None,
    labels: LabelsForm | None = None,
) -> HttpResponse:
    """The page, with what was refused."""

    def rendered() -> HttpResponse:
        given = Label.objects.filter(conversations=conversation)
        context = {
            "conversation": conversation,
            "form": form or OptionsForm(initial={"title": conversation.title}),
            "labels": labels or LabelsForm(initial={"labels": given}, person=request.user),
        }
        return render(request, "chat/options.html", context, status=422 if form or labels else 200)

    return await in_thread(rendered)()
