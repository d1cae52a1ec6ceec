import { find } from "./dom.js";
import { saveBeforeSignOut } from "./drafts.js";
import { startFrame } from "./frame.js";
import { setInstructionsHere } from "./instructions.js";
import { Problem } from "./requests.js";
import { PageStream } from "./stream.js";

/**
 * @typedef {object} Subject what a page is about: a conversation, or one that has not begun
 * @property {import("./drafts.js").Draft} draft what is in the box of the composer
 * @property {Record<string, string>} shown what the page shows of the conversation, for the server
 * @property {(version: number | null) => void} reach shows what has been changed elsewhere
 * @property {(problem: Problem) => void} tell says what is wrong with the page as a whole
 */

/**
 * Start what a page with a composer has besides its subject: its frame, and the stream of what changes on it.
 * @param {(stream: PageStream) => Subject} start
 */
export function startPage(start) {
  setInstructionsHere(document);
  const history = startFrame();
  const stream = new PageStream(find(document, "[data-stream-url]", HTMLElement).dataset.streamUrl ?? "", {
    shown: () => ({ ...subject.shown, ...history.shown }),
    change({ version, list, running }) {
      subject.reach(version);
      history.reach(list, running);
    },
    async disconnected() {
      try {
        await history.renew();
      } catch (error) {
        const problem = Problem.from(error);
        if (problem.isPassing) return;
        stream.sleep();
        subject.tell(problem);
      }
    },
  });
  const subject = start(stream);
  saveBeforeSignOut(find(document, "[data-sign-out]", HTMLFormElement), subject.draft);
}
