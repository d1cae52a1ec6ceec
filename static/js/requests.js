// Requests to the server, and what to tell people when one fails.

import { find } from "./dom.js";
import { GONE, otherPerson, SIGN_IN, SIGNED_OUT, UNREACHABLE } from "./sentences.js";

// The field with which a form proves that it is ours.
const TOKEN = "csrfmiddlewaretoken";

/**
 * @typedef {object} Started what the server answers to a question; with the transcript, if the page has asked for it
 * @property {{id: string, url: string}} conversation
 * @property {{id: string}} message
 * @property {{id: string, url: string, events_url: string, stop_url: string}} reply
 * @property {string} [transcript]
 */

/**
 * @typedef {object} Queued what the server answers to a question that has to wait
 * @property {{id: string}} queued
 * @property {string} [transcript]
 */

/** A failed request. Its message is a sentence for people. */
export class Problem extends Error {
  /**
   * @param {string} message
   * @param {number} [status] of the answer; 0 when there was none
   * @param {string} [code] of the error, if the answer had one
   * @param {Record<string, string>} [fields] what is wrong with each field, by its name
   */
  constructor(message, status = 0, code = "", fields = {}) {
    super(message);
    this.status = status;
    this.code = code;
    this.fields = fields;
  }

  /**
   * Return a caught Problem. Anything else is a bug and is thrown again.
   * @param {unknown} error
   * @returns {Problem}
   */
  static from(error) {
    if (error instanceof Problem) return error;
    throw error;
  }

  /** Whether the same request may succeed later. */
  get isPassing() {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }

  /**
   * Show the message, with a link to sign in if that is what is missing.
   * @param {Element} element
   */
  show(element) {
    element.replaceChildren(this.message);
    if (this.status === 401) element.append(" ", signInLink());
  }
}

/**
 * Submit a form with its current fields, in the name of the person whose page this is and of nobody else.
 * @param {HTMLFormElement} form
 * @param {HTMLElement | null} [submitter] the button that was pressed, whose value and address count
 * @param {Record<string, string>} [query] what the answer is to bring besides
 * @returns {Promise<any>} the JSON of the answer
 * @throws {Problem}
 */
export async function submit(form, submitter, query) {
  const fields = new FormData(form, submitter);
  const action = submitter?.getAttribute("formaction") ?? form.action;
  const url = query ? `${action}?${new URLSearchParams(query)}` : action;
  try {
    return await post(url, fields);
  } catch (error) {
    if (Problem.from(error).code !== "csrf") throw error;
    // Signing in, in any tab, changes the token.
    fields.set(TOKEN, await renewToken());
    return await post(url, fields);
  }
}

/** @param {string} url @param {FormData} fields */
async function post(url, fields) {
  const response = await ask(url, {
    method: "POST",
    headers: { Accept: "application/json", "X-CSRFToken": String(fields.get(TOKEN)) },
    body: new URLSearchParams([...fields].map(([name, value]) => [name, String(value)])),
  });
  return response.json();
}

/**
 * Give the forms of the page the token of a new page, which says whose it is.
 * @returns {Promise<string>}
 * @throws {Problem} if another person is signed in by now
 */
async function renewToken() {
  const page = await fragment("/");
  const [now, before] = [page, document].map(personOf);
  if (now !== before) throw new Problem(otherPerson(now, before), 403);
  const { value } = find(page, `[name=${TOKEN}]`, HTMLInputElement);
  for (const field of document.getElementsByName(TOKEN)) /** @type {HTMLInputElement} */ (field).value = value;
  return value;
}

/** @param {ParentNode} page */
function personOf(page) {
  return find(page, ".account-button", HTMLElement).textContent.trim();
}

/**
 * Get a fragment of a page.
 * @param {string} url
 * @param {AbortSignal} [signal] ends the request, with a Problem
 * @returns {Promise<DocumentFragment>}
 * @throws {Problem}
 */
export async function fragment(url, signal) {
  const response = await ask(url, { headers: { Accept: "text/html" }, signal: signal ?? null });
  return parsed(await response.text());
}

/** @param {string} html of the server @returns {DocumentFragment} */
export function parsed(html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  return document.importNode(template.content, true);
}

/** @param {string} url @param {RequestInit} options */
async function ask(url, options) {
  const response = await fetch(url, options).catch(() => {
    throw new Problem(UNREACHABLE);
  });
  // The address of a fragment redirects to the sign-in page after signing out.
  if (response.redirected || response.status === 401) throw new Problem(SIGNED_OUT, 401);
  // Only whole conversations are deleted. Somebody else may have signed in in another tab.
  if (response.status === 404) throw new Problem(GONE, 404);
  if (response.ok) return response;
  const body = await response.json().catch(() => null);
  const { message = UNREACHABLE, code, fields } = body?.error ?? {};
  throw new Problem(message, response.status, code, fields);
}

function signInLink() {
  const link = document.createElement("a");
  const login = find(document, "[data-login-url]", HTMLElement).dataset.loginUrl;
  link.href = `${login}?${new URLSearchParams({ next: location.pathname })}`;
  link.textContent = SIGN_IN;
  return link;
}
