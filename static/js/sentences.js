// What the page says to a person; what the server says is in its templates and views.

/** The title of a tab, as in templates/base.html. */
export const titled = (/** @type {string} */ title) => `${title} · Parley`;

export const STOP = "Stop";
export const STOPPING = "Stopping…";
export const QUEUED = "Your question is queued.";
export const NOT_QUEUED = "This question is no longer queued here. What you wrote is in the box.";
export const EDIT_GONE = "The question that you edited is no longer on the page. What you wrote is in the box.";

export const JUMP_TO_LATEST = "Jump to latest";
export const NEW_TEXT = "New text";

/** @param {string} words */
export function searchFor(words) {
  return `All results for “${words}”`;
}

/** @param {number} left of the characters that a question may have */
export function room(left) {
  const count = Math.abs(left);
  const characters = `${count.toLocaleString(document.documentElement.lang)} ${count === 1 ? "character" : "characters"}`;
  return left < 0 ? `${characters} too many` : `${characters} left`;
}

/** @param {number} count of titles and messages */
export function countOffers(count) {
  if (!count) return "No title or message was found.";
  return count === 1 ? "One title or message is listed." : `${count} titles and messages are listed.`;
}

/** @param {string[]} models one or two that answer, as in templates/chat/_welcome.html */
export const together = (models) => models.join(" and ");

export const COPIED = "Copied";
export const NOT_COPIED = "Not copied";

export const RECONNECTING = "Reconnecting…";
export const UNREACHABLE = "The server can't be reached. Try again in a moment.";
export const GONE = "This conversation has been deleted, or belongs to another account.";
export const STARTS_NEW = "What you send now starts a new one.";
export const SIGNED_OUT = "You've been signed out.";
export const SIGN_IN = "Sign in to continue.";
/** @param {string} now @param {string} before the names of two people */
export function otherPerson(now, before) {
  return `This browser is signed in as ${now} now, so nothing was sent. What you wrote stays here. Sign in as ${before} in another tab, then try again.`;
}

/** The same as in chat/markdown.py. */
export const TOO_MUCH = "The rest is too long or too complex to format. It is shown as plain text.";

/** What has become of a conversation, in its place in the list, and for screen readers. */
export const DELETED = "Deleted";
export const ARCHIVED = "Archived";
export const inTrash = (/** @type {string} */ title) => `“${title}” is in the trash.`;
export const inArchive = (/** @type {string} */ title) => `“${title}” is in the archive.`;
export const restored = (/** @type {string} */ title) => `“${title}” is back in the list.`;
export const isPinned = (/** @type {string} */ title) => `“${title}” is pinned.`;
export const isUnpinned = (/** @type {string} */ title) => `“${title}” is no longer pinned.`;
export const ALL_RESTORED = "The conversations are back in the list.";
export const LABELLED = "The labels are saved.";
export const renamed = (/** @type {string} */ title) => `The title is “${title}” now.`;

export const KEPT = "This conversation is kept from now on.";

/** @param {number} count of conversations */
export function selected(count) {
  return count ? `${count} selected` : "Select conversations";
}

export const WRITING = "A reply is being written.";
/** How a reply ended, for screen readers. */
export const ENDINGS = {
  complete: "The reply is complete.",
  stopped: "The reply was stopped.",
  interrupted: "The reply was interrupted.",
  failed: "The reply failed.",
  lost: "The connection was lost.",
};

/** The titles of notifications. A person who stopped a reply knows about it. */
export const NOTICES = {
  complete: "Your reply is ready",
  stopped: "",
  interrupted: "Your reply was interrupted",
  failed: "Your reply failed",
  lost: "",
};
export const NOTICES_BLOCKED =
  "This browser blocks notifications from Parley. Allow them in its settings for this site.";

export const EXPORT_READY = "A file is ready to be downloaded";
export const EXPORT_FAILED = "A file could not be made";

export const THOUGHT_FOR_A_MOMENT = "Thought for a moment";

/** @param {number} seconds */
export function thinking(seconds) {
  return `Thinking… ${seconds} s`;
}

/** @param {number} seconds */
export function thoughtFor(seconds) {
  return `Thought for ${seconds} s`;
}
