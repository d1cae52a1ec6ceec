import { nameModels } from "./answering.js";
import { Conversation } from "./conversation.js";
import { copyOnClick } from "./copy.js";
import { find } from "./dom.js";
import { downloadOnClick } from "./download.js";
import { saveBeforeSignOut } from "./drafts.js";
import { startFrame } from "./frame.js";
import { markHits } from "./hits.js";
import { setInstructionsHere } from "./instructions.js";
import { drawFormulas } from "./math.js";
import { followNotes } from "./notes.js";
import { Problem } from "./requests.js";
import { PageStream } from "./stream.js";

copyOnClick();
downloadOnClick();
setInstructionsHere(document);
drawFormulas();
followNotes();
nameModels(document);
markHits(document);
const history = startFrame();
const stream = new PageStream(find(document, "[data-stream-url]", HTMLElement).dataset.streamUrl ?? "", {
  shown: () => ({ ...conversation.shown, ...history.shown }),
  change({ version, list, running }) {
    conversation.reach(version);
    history.reach(list, running);
  },
  async disconnected() {
    try {
      await history.renew();
    } catch (error) {
      const problem = Problem.from(error);
      if (problem.isPassing) return;
      stream.sleep();
      conversation.tell(problem);
    }
  },
});
const conversation = new Conversation(document, stream);
saveBeforeSignOut(find(document, "[data-sign-out]", HTMLFormElement), conversation.draft);
