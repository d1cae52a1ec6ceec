// Requests to the server, and what to tell a person when one does not work out.

const UNREACHABLE = "The server cannot be reached. Try again in a moment.";
const SIGNED_OUT = "You are signed out.";

/** A request that did not work out; the message is a sentence for a person. */
export class Problem extends Error {
  /** @param {string} message @param {number} [status] of the answer; 0 when there was none */
  constructor(message, status = 0) {
    super(message);
    this.status = status;
  }

  /** Whether asking again can help. */
  get isPassing() {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }

  /** The message, with a link to sign in if that is what is missing. */
  show(element) {
    element.replaceChildren(this.message);
    if (this.status === 401) element.append(" ", signInLink());
  }
}

/**
 * Submit a form as it stands.
 * @param {HTMLFormElement} form
 * @returns {Promise<any>} the JSON of the answer
 * @throws {Problem}
 */
export async function submit(form) {
  const fields = new FormData(form);
  const response = await ask(form.action, {
    method: "POST",
    headers: { Accept: "application/json", "X-CSRFToken": fields.get("csrfmiddlewaretoken") },
    body: new URLSearchParams(fields),
  });
  return response.json();
}

/**
 * Get a fragment of a page.
 * @param {string} url
 * @returns {Promise<DocumentFragment>}
 * @throws {Problem}
 */
export async function fragment(url) {
  const response = await ask(url, { headers: { Accept: "text/html" } });
  const template = document.createElement("template");
  template.innerHTML = await response.text();
  return document.importNode(template.content, true);
}

async function ask(url, options) {
  const response = await fetch(url, options).catch(() => {
    throw new Problem(UNREACHABLE);
  });
  // A fragment's address sends those who are signed out to the login page.
  if (response.redirected || response.status === 401) throw new Problem(SIGNED_OUT, 401);
  if (!response.ok) throw new Problem(await sentence(response), response.status);
  return response;
}

async function sentence(response) {
  const body = await response.json().catch(() => null);
  return body?.error?.message ?? UNREACHABLE;
}

function signInLink() {
  const link = document.createElement("a");
  const login = document.querySelector("[data-login-url]").dataset.loginUrl;
  link.href = `${login}?${new URLSearchParams({ next: location.pathname })}`;
  link.textContent = "Sign in to go on.";
  return link;
}
