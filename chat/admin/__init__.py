"""The admin: conversations and their transcripts, beside the users and Django's own groups."""

from django.conf import settings
from django.contrib import admin

from chat.admin import audit, conversations, exports, ledger, queues, remarks, review, users  # noqa: F401  (registers them)

admin.site.site_title = "Parley"
admin.site.site_header = f"Parley {settings.VERSION}"
admin.site.index_title = "Administration"
# templates/admin/base_site.html links back to the chat.
admin.site.site_url = None
