"""Rows, who may see them (`for_user`), and how they change."""

from chat.models.audit import AuditHead, AuditRecord
from chat.models.conversations import Comparison, Conversation, Message, title_of
from chat.models.drafts import Draft
from chat.models.exports import Export, ExportPart
from chat.models.jobs import Job
from chat.models.labels import Label, Labelling
from chat.models.ledger import LedgerEntry
from chat.models.message_html import MessageHtml
from chat.models.processes import ServerProcess
from chat.models.queue_rules import QueueRule
from chat.models.queued import QueuedQuestion
from chat.models.queues import Marking, ReviewQueue
from chat.models.remarks import Remark, TooManyRemarks
from chat.models.replies import Reply, ReplyEvent
from chat.models.review_limits import ReviewLimit
from chat.models.reviews import Review, ReviewLabel, ReviewLabelError, ReviewLabelling
from chat.models.saved_filters import SavedFilter
from chat.models.searchable import Searchable
from chat.models.users import User

__all__ = [
    "AuditHead",
    "AuditRecord",
    "Comparison",
    "Conversation",
    "Draft",
    "Export",
    "ExportPart",
    "Job",
    "Label",
    "Labelling",
    "LedgerEntry",
    "Marking",
    "Message",
    "MessageHtml",
    "QueueRule",
    "QueuedQuestion",
    "Remark",
    "Reply",
    "ReplyEvent",
    "Review",
    "ReviewLabel",
    "ReviewLabelError",
    "ReviewLabelling",
    "ReviewLimit",
    "ReviewQueue",
    "SavedFilter",
    "Searchable",
    "ServerProcess",
    "TooManyRemarks",
    "User",
    "title_of",
]
