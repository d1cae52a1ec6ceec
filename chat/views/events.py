"""The event stream of a page."""

from django.http import HttpResponseBase
from django.utils.translation import gettext
from django.views.decorators.http import require_GET

from chat.models import Reply
from chat.process import Process
from chat.views.problems import SignedInRequest, problem, signed_in
from chat.views.stream import OpenPage, page_stream

# More replies than any page shows at the same time.
MOST_REPLIES = 4


@require_GET
@signed_in
async def page_events(request: SignedInRequest) -> HttpResponseBase:
    """What changes on a page that shows what the query says, and the events of its replies."""
    Process.of(request).shares.check_streams(request.user)
    try:
        page = OpenPage.from_query(request.GET)
    except ValueError:
        return problem(request, 400, "bad_cursor", gettext("The page couldn't be followed. Reload it."))
    if len(page.cursors) > MOST_REPLIES:
        return problem(request, 400, "too_many_replies", gettext("The page couldn't be followed. Reload it."))
    replies = Reply.objects.for_user(request.user).filter(pk__in=page.cursors)
    return page_stream(request, page, [reply async for reply in replies])
