"""Addresses of the chat."""

from django.urls import path

from chat.views import conversations, documents, drafts, events, messages, options, queue, replies, settings, trash

urlpatterns = [
    path("", conversations.new_conversation, name="new_conversation"),
    path("archive/", options.archive, name="archive"),
    path("c/", messages.start, name="start"),
    path("c/<uuid:pk>/", conversations.conversation, name="conversation"),
    path("c/<uuid:pk>/transcript/", conversations.transcript, name="transcript"),
    path("c/<uuid:pk>/messages/", messages.ask, name="ask"),
    path("c/<uuid:pk>/queue/", queue.queue, name="queue"),
    path("c/<uuid:pk>/queue/<uuid:question>/edit/", queue.edit_queued, name="edit_queued"),
    path("c/<uuid:pk>/queue/<uuid:question>/withdraw/", queue.withdraw_queued, name="withdraw_queued"),
    path("c/<uuid:pk>/queue/<uuid:question>/send/", queue.send_queued, name="send_queued"),
    path("c/<uuid:pk>/seen/", conversations.seen, name="seen"),
    path("c/<uuid:pk>/branch/", conversations.show_branch, name="show_branch"),
    path("c/<uuid:pk>/settings/", settings.conversation_settings, name="conversation_settings"),
    path("c/<uuid:pk>/options/", options.options, name="options"),
    path("c/<uuid:pk>/delete/", trash.delete_conversation, name="delete_conversation"),
    path("c/<uuid:pk>/restore/", trash.restore_conversation, name="restore_conversation"),
    path("c/<uuid:pk>/erase/", trash.erase_conversation, name="erase_conversation"),
    path("c/<uuid:pk>/draft/", drafts.draft, name="conversation_draft"),
    path("c/<uuid:pk>/conversation.<slug:suffix>", documents.download, name="download"),
    path("c/<uuid:pk>/print/", documents.print_page, name="print"),
    path("draft/", drafts.draft, name="draft"),
    path("events/", events.page_events, name="page_events"),
    path("history/", conversations.history, name="history"),
    path("questions/<uuid:pk>/edit/", messages.edit, name="edit"),
    path("replies/<uuid:pk>/", replies.reply, name="reply"),
    path("replies/<uuid:pk>/events/", replies.reply_events, name="reply_events"),
    path("replies/<uuid:pk>/stop/", replies.stop, name="stop"),
    path("replies/<uuid:pk>/continue/", messages.resume, name="resume"),
    path("replies/<uuid:pk>/feedback/", replies.feedback, name="feedback"),
    path("replies/<uuid:pk>/retry/", messages.retry, name="retry"),
    path("settings/theme/", settings.theme, name="theme"),
    path("settings/", settings.settings, name="settings"),
    path("trash/", trash.trash, name="trash"),
    path("trash/undo/", trash.undo_deletion, name="undo_deletion"),
    path("trash/empty/", trash.empty_trash, name="empty_trash"),
]
