"""Queues of conversations: making and filling them, and working through them."""

from functools import partial
from typing import Any, cast
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.options import Action, ActionLocation
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.decorators import method_decorator
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST

from chat import audit, rubric
from chat.admin import queue_items, reasons, rules
from chat.admin.files import attachment
from chat.admin.lookups import NamedLookups
from chat.admin.marks import AnswerChangedError, MarkForm, agreements
from chat.admin.numbers import between
from chat.admin.queue_files import incomplete, lines
from chat.admin.queue_items import MANAGE
from chat.admin.review import came_from, may_review, seen_conversation
from chat.database import retry_on_deadlock
from chat.models import AuditRecord, Conversation, Marking, QueueRule, ReviewQueue, User
from chat.models.queues import MOST_MINUTES, MOST_REVIEWERS
from chat.rubric import RubricError

# Queues that are offered to put a conversation in.
OFFERED = 50


class QueueForm(forms.ModelForm):  # type: ignore[type-arg]  # It takes none at run time.
    """What a queue asks of its reviewers."""

    class Meta:
        model = ReviewQueue
        fields = ("name", "instructions", "rubric", "reviewers", "minutes")
        help_texts = {
            "rubric": _(
                "A line for each criterion. A choice: “Correct: yes, partly, no”. A number: “Tone: 1-5”. "
                "A text: “Comment: text”. It cannot change once somebody marks by it."
            )
        }
        error_messages = {
            "name": {"unique": _("There is a queue with this name. Choose another one.")},
            "reviewers": between(1, MOST_REVIEWERS),
            "minutes": between(1, MOST_MINUTES),
        }

    def clean_rubric(self) -> str:
        text: str = self.cleaned_data["rubric"]
        try:
            rubric.parse(text)
        except RubricError as error:
            sentence = gettext("Line %(line)d is no criterion. Write it as one of the examples.") % {"line": error.line}
            if not error.line:
                sentence = gettext("Write 1 to %(most)d criteria, each with another name.")
                sentence %= {"most": rubric.MOST_CRITERIA}
            raise forms.ValidationError(sentence) from None
        if self.instance.is_in_use() and rubric.parse(text) != rubric.parse(self.instance.rubric):
            raise forms.ValidationError(gettext("Somebody marks by the old rubric. Make a new queue for another one."))
        return text


def offered(request: HttpRequest, conversation: Conversation | None = None) -> list[ReviewQueue]:
    """Those that the person may put something into; of a conversation, those in which that is not yet."""
    if not request.user.has_perm(MANAGE):
        return []
    queues = ReviewQueue.objects.order_by("name")
    if conversation:
        queues = queues.exclude(pk__in=conversation.markings.values("queue"))
    return list(queues[:OFFERED])


def actions(request: HttpRequest) -> dict[str, Action]:
    """An action of the list of conversations for each queue."""
    return {action.name: action for action in map(_action, offered(request))}


def _action(queue: ReviewQueue) -> Action:
    # Django puts the description into a format string.
    title = gettext("Put into the queue “%(name)s”") % {"name": queue.name.replace("%", "%%")}
    locations = [ActionLocation.CHANGE_LIST]
    return Action(partial(_put, queue=queue), f"queue_{queue.pk.hex}", title, title, locations)


def _put(model_admin: Any, request: HttpRequest, queryset: QuerySet[Conversation], *, queue: ReviewQueue) -> None:
    put(model_admin, request, queue, list(queryset.order_by().values_list("pk", flat=True)))


def put(model_admin: Any, request: HttpRequest, queue: ReviewQueue, pks: list[UUID]) -> None:
    count = retry_on_deadlock(queue.put)(pks)
    sentence = ngettext(
        "%(count)d conversation is new in the queue.", "%(count)d conversations are new in the queue.", count
    )
    sentence %= {"count": count}
    if count < len(pks):
        sentence += " " + gettext("The rest was in it already.")
    model_admin.message_user(request, sentence, messages.SUCCESS)


class QueueList(ChangeList):
    """Knows of each queue who looks at it, and how far it is."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        self.result_list = list(self.result_list)
        for queue in self.result_list:
            queue.reader = request.user
            queue.counts = queue.progress(queue.reader)


@admin.register(ReviewQueue)
class ReviewQueueAdmin(NamedLookups, admin.ModelAdmin):  # type: ignore[type-arg]  # It takes none at run time.
    """Whoever may review sees queues and works through them; to make and to fill them takes Django's permissions."""

    form = QueueForm
    list_display = ["name", "progress", "agreement", "filled", "work"]
    list_select_related = ["rule__owner"]
    ordering = ["name"]

    class Media:
        css = {"all": ["css/admin.css", "css/review.css"]}

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        own = [
            path("<uuid:pk>/work/", view(self.work_through), name="chat_reviewqueue_work"),
            path("<uuid:pk>/export/", view(self.export), name="chat_reviewqueue_export"),
            path("<uuid:pk>/rule/", view(self.rule), name="chat_reviewqueue_rule"),
            path("<uuid:pk>/items/", view(self.items), name="chat_reviewqueue_items"),
            path("<uuid:pk>/items/take-out/", view(self.take_out), name="chat_reviewqueue_take_out"),
            path("put/<uuid:conversation>/", view(self.put), name="chat_reviewqueue_put"),
            path("<uuid:pk>/markings/<uuid:marking>/", view(self.mark), name="chat_reviewqueue_mark"),
            path("<uuid:pk>/markings/<uuid:marking>/skip/", view(self.skip), name="chat_reviewqueue_skip"),
        ]
        return [*own, *super().get_urls()]

    def has_view_permission(self, request: HttpRequest, obj: ReviewQueue | None = None) -> bool:
        return may_review(request) or super().has_view_permission(request, obj)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def get_readonly_fields(self, request: HttpRequest, obj: ReviewQueue | None = None) -> list[str]:
        # Conversations have as many places as there were reviewers when they came in.
        return ["reviewers"] if obj else []

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[QueueList]:
        return QueueList

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        return [column for column in self.list_display if column != "filled" or rules.may_rule(request)]

    @admin.display(description=_("progress"))
    def progress(self, queue: ReviewQueue) -> SafeString:
        words = gettext("%(done)d of %(all)d marks given") % queue.counts
        return format_html('<a href="{}">{}</a>', reverse("admin:chat_reviewqueue_items", args=[queue.pk]), words)

    @admin.display(description=_("agreement"))
    def agreement(self, queue: ReviewQueue) -> str:
        """By each choice and number, in words."""
        return "; ".join(agreements(queue, queue.reader))

    @admin.display(description=_("filled by a rule"))
    def filled(self, queue: ReviewQueue) -> SafeString:
        rule: QueueRule | None = getattr(queue, "rule", None)
        label = gettext("%(share)d%% of new ones") % {"share": rule.share} if rule else gettext("Set a rule")
        if rule and not rule.can_choose:
            label = gettext("Rests: %(name)s may not read") % {"name": rule.owner.get_username()}
        return format_html('<a href="{}">{}</a>', reverse("admin:chat_reviewqueue_rule", args=[queue.pk]), label)

    @admin.display(description=_("work"))
    def work(self, queue: ReviewQueue) -> SafeString:
        work, export = (reverse(f"admin:chat_reviewqueue_{name}", args=[queue.pk]) for name in ("work", "export"))
        # It reserves something, and so it belongs to the form around the list.
        button = format_html('<button class="button" formaction="{}">{}</button>', work, gettext("Review the next"))
        has_more = queue.counts["done"] < queue.counts["all"]
        return format_html('{} <a href="{}">{}</a>', button if has_more else "", export, gettext("Export"))

    @method_decorator(require_POST)
    def work_through(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        if not may_review(request):
            raise PermissionDenied
        queue = get_object_or_404(ReviewQueue, pk=pk)
        return self._chosen(request, queue) if "only" in request.POST else self._next(request, queue)

    def _chosen(self, request: HttpRequest, queue: ReviewQueue) -> HttpResponse:
        """Lead to the conversation that the reviewer has chosen in the queue, which is reserved for them."""
        try:
            marking = Marking.objects.claim(queue, cast("User", request.user), UUID(request.POST["only"]))
        except ValueError:
            raise Http404 from None
        if marking:
            return HttpResponseRedirect(reverse("admin:chat_conversation_change", args=[marking.conversation_id]))
        sentence = gettext("You cannot mark this now: others have it, or it is marked or skipped. Choose another one.")
        self.message_user(request, sentence, messages.WARNING)
        return HttpResponseRedirect(f"{reverse('admin:chat_reviewqueue_items', args=[queue.pk])}{came_from(request)}")

    def _next(self, request: HttpRequest, queue: ReviewQueue) -> HttpResponse:
        """Lead to the first conversation that is open to the reviewer, which is reserved for them."""
        marking = Marking.objects.claim(queue, cast("User", request.user))
        if marking:
            return HttpResponseRedirect(reverse("admin:chat_conversation_change", args=[marking.conversation_id]))
        sentence = gettext("Nothing in this queue is open to you now.")
        if queue.has_skipped(cast("User", request.user)):
            sentence += " " + gettext("What you have skipped comes back after a day.")
        self.message_user(request, sentence, messages.INFO)
        return HttpResponseRedirect(reverse("admin:chat_reviewqueue_changelist"))

    def rule(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        return rules.page(request, get_object_or_404(ReviewQueue, pk=pk))

    def items(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        return queue_items.page(request, get_object_or_404(ReviewQueue, pk=pk))

    @method_decorator(require_POST)
    def take_out(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        return queue_items.take_out(self, request, get_object_or_404(ReviewQueue, pk=pk))

    @method_decorator(require_POST)
    def put(self, request: HttpRequest, conversation: UUID) -> HttpResponse:
        if not request.user.has_perm(MANAGE):
            raise PermissionDenied
        seen = seen_conversation(request, conversation)
        form = forms.ModelChoiceField(ReviewQueue.objects.all())
        try:
            queue = form.clean(request.POST.get("queue"))
        except forms.ValidationError:
            self.message_user(request, gettext("There is no such queue. Choose another one."), messages.WARNING)
        else:
            put(self, request, queue, [seen.pk])
        return HttpResponseRedirect(reverse("admin:chat_conversation_change", args=[seen.pk]))

    @method_decorator(require_POST)
    def mark(self, request: HttpRequest, pk: UUID, marking: UUID) -> HttpResponse:
        """Keep the marks, and lead to the next conversation."""
        mine = self._asked(request, pk, marking)
        if mine is None:
            return self._give_back(request, pk, marking)
        conversation = seen_conversation(request, mine.conversation_id)
        form = MarkForm(rubric.parse(mine.queue.rubric), request.POST)
        is_valid, has_changed = form.is_valid(), False
        try:
            if is_valid and self._give(mine, request, form, conversation):
                self._tell_of_others(request, mine)
                return self._next(request, mine.queue)
        except AnswerChangedError:
            has_changed = True
            form.open_again()
        problem = {"original": conversation, "has_changed": has_changed, "is_late": is_valid and not has_changed}
        return self._again(request, mine, form, 409 if is_valid else 422, **problem)

    def _asked(self, request: HttpRequest, pk: UUID, marking: UUID) -> Marking | None:
        """The marking, unless its conversation has been taken out of the queue or erased, or the queue deleted."""
        if not may_review(request):
            raise PermissionDenied
        return Marking.objects.select_related("queue").filter(queue=pk, pk=marking).first()

    def _give_back(self, request: HttpRequest, pk: UUID, marking: UUID) -> HttpResponse:
        """Show the marks that can no longer be stored anywhere, to copy them."""
        queue = ReviewQueue.objects.filter(pk=pk).first()
        form = MarkForm(rubric.parse(queue.rubric) if queue else [])
        form.give_back(request.POST.dict())
        shown = Marking(pk=marking, queue=queue or ReviewQueue(pk=pk, name=gettext("Deleted queue")))
        return self._again(request, shown, form, 409, is_gone=True, is_deleted=not queue)

    def _again(
        self, request: HttpRequest, marking: Marking, form: MarkForm, status: int, **problem: Any
    ) -> HttpResponse:
        """The marks on a page of their own, with why they were not saved."""
        context = {
            **admin.site.each_context(request),
            "title": marking.queue.name,
            "marking": marking,
            "mark_form": form,
            "opts": Conversation._meta,
            **problem,
        }
        return TemplateResponse(request, "admin/chat/review/mark_again.html", context, status=status)

    @method_decorator(require_POST)
    def skip(self, request: HttpRequest, pk: UUID, marking: UUID) -> HttpResponse:
        """Leave the conversation to others for a while, and lead to the next one."""
        mine = self._asked(request, pk, marking)
        if mine:
            seen_conversation(request, mine.conversation_id)
            mine.skip(cast("User", request.user))
        return self._next(request, get_object_or_404(ReviewQueue, pk=pk))

    def _tell_of_others(self, request: HttpRequest, mine: Marking) -> None:
        """Lead to the marks of others, if there are some: the next conversation comes at once."""
        others = mine.queue.markings.filter(conversation=mine.conversation_id).exclude(done=None).exclude(pk=mine.pk)
        if not (count := others.count()):
            return
        label = ngettext("See the marks of %(count)d other", "See the marks of %(count)d others", count)
        page = reverse("admin:chat_conversation_change", args=[mine.conversation_id])
        link = format_html('<a href="{}#marks-{}">{}</a>', page, mine.queue_id, label % {"count": count})
        self.message_user(request, format_html("{} {}", gettext("Your marks are saved."), link), messages.SUCCESS)

    def _give(self, marking: Marking, request: HttpRequest, form: MarkForm, conversation: Conversation) -> bool:
        leaf = form.judged(conversation)
        corrected, correction = form.corrected(conversation, leaf)
        return marking.give(cast("User", request.user), form.marks, correction, corrected, leaf)

    def export(self, request: HttpRequest, pk: UUID) -> HttpResponseBase:
        """What has been marked, a line for each conversation that the reviewer sees."""
        if not may_review(request):
            raise PermissionDenied
        queue = get_object_or_404(ReviewQueue, pk=pk)
        if reasons.is_missing(request):
            return reasons.ask_first(request)
        # Each conversation has a record besides, for its owner.
        reason = reasons.reason_of(request)
        audit.record(AuditRecord.Action.EXPORTED, request, detail=f"queue {queue.name}", reason=reason)
        return attachment(lines(request, queue), "queue", "jsonl", incomplete)
