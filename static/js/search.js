// The page of the search, whose form and links work by themselves.

import { find } from "./dom.js";
import { startFrame } from "./frame.js";
import { Problem } from "./requests.js";
import { PageStream } from "./stream.js";

const history = startFrame();
const stream = new PageStream(find(document, "[data-stream-url]", HTMLElement).dataset.streamUrl ?? "", {
  shown: () => history.shown,
  change: ({ list, running }) => history.reach(list, running),
  async disconnected() {
    try {
      await history.renew();
    } catch (error) {
      // The next search says why.
      if (!Problem.from(error).isPassing) stream.sleep();
    }
  },
});
