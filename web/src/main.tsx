/** Starts the page. */

import { render } from "preact";
import "./app.css";
import { Page } from "./page";
import { openSource } from "./data/source";

const root = document.getElementById("app");
if (root) render(<Page source={openSource(document)} />, root);
