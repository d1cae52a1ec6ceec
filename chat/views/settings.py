"""What a person sets: for themselves, and for one of their conversations."""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext
from django.views.decorators.http import require_POST

from chat.database import in_thread
from chat.forms import ConversationForm, SettingsForm, ThemeForm
from chat.models import User
from chat.process import Process
from chat.views.pages import SeeOther, form_methods, get_conversation
from chat.views.problems import SignedInRequest, complaints, problem, signed_in, wants_json


@form_methods
@signed_in
async def settings(request: SignedInRequest) -> HttpResponse:
    """What holds for all of their conversations, on all of their devices."""
    person = request.user
    set_now = {name: getattr(person, name) for name in SettingsForm.base_fields}
    models = [model.name for model in Process.of(request).catalog.models_for(person)]
    form = SettingsForm(request.POST if request.method == "POST" else set_now, models=models)
    if request.method == "POST" and form.is_valid():
        await User.objects.filter(pk=person.pk).aupdate(**form.cleaned_data)
        messages.success(request, gettext("Your settings are saved."))
        return SeeOther(reverse("settings"))
    return await _page(request, "chat/settings.html", {"form": form})


@require_POST
@signed_in
async def theme(request: SignedInRequest) -> HttpResponse:
    """The theme alone, which the page shows already."""
    form = ThemeForm(request.POST)
    if not form.is_valid():
        return problem(request, 422, "unknown_theme", gettext("There is no such theme. Choose another one."))
    await User.objects.filter(pk=request.user.pk).aupdate(**form.cleaned_data)
    return JsonResponse({}) if wants_json(request) else SeeOther(reverse("settings"))


@form_methods
@signed_in
async def conversation_settings(request: SignedInRequest, pk: UUID) -> HttpResponse:
    """What holds for one conversation, from the next question on."""
    conversation = await get_conversation(request, pk)
    names = list(ConversationForm.base_fields)
    set_now = {name: getattr(conversation, name) for name in names}
    form = ConversationForm(request.POST if request.method == "POST" else set_now)
    if request.method == "POST" and form.is_valid():
        for name in names:
            setattr(conversation, name, form.cleaned_data[name])
        await in_thread(conversation.change)(*names)
        return JsonResponse({}) if wants_json(request) else SeeOther(conversation.get_absolute_url())
    if form.errors and wants_json(request):
        return complaints(form)
    return await _page(request, "chat/conversation_settings.html", {"form": form, "conversation": conversation})


async def _page(request: SignedInRequest, template: str, context: dict[str, Any]) -> HttpResponse:
    status = 422 if request.method == "POST" else 200
    return await in_thread(render)(request, template, context, status=status)
