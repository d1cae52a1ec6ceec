// The page of the search, whose form and links work by themselves.

import { startFrame } from "./frame.js";

startFrame();
