/* The page: reads the form, requests images, and shows them. */
"use strict";

const AT_ONCE = 2; // requests: one is computed while another is in transit
const part = (id) => document.getElementById(id);
const query = new URLSearchParams(location.search);
const panel = new WordPanel({
  attention: part("attention"), words: part("words"), stages: part("stages"),
  explanation: part("explanation"), heat: part("heat"),
});

let server = null;
let model = null; // the result of Server.describe
let connecting = null; // its promise
let run = null; // the images that are requested or shown

/** The server in the page's address; the default is the page's own. */
function chosenServer() {
  let text = query.get("server") || location.origin;
  if (!/^[a-z]+:\/\//i.test(text)) text = `http://${text}`;
  let address = null;
  try {
    address = new URL(text);
  } catch { /* reported below */ }
  if (!/^https?:$/.test(address?.protocol)) {
    throw new ServerError(
      `?server= must be like http://host:8501; received ${text}`);
  }
  return new Server(
    address.origin + address.pathname, query.get("model") || "attngan");
}

/** Reads what the model offers: once, or again after a failure. */
function connect() {
  connecting ??= describeModel().catch((error) => {
    connecting = null;
    throw error;
  });
  return connecting;
}

async function describeModel() {
  server ??= chosenServer();
  model = await server.describe();
  const size = model.size ? ` · ${model.size} × ${model.size}` : "";
  const version = model.version ? ` · version ${model.version}` : "";
  part("model").textContent = `${server.model}${version}${size}`;
  // Small images are shown with sharp pixels, large ones are smoothed.
  document.body.classList.toggle("pixels", model.size && model.size < 128);
  part("attention").hidden = !model.stages.length;
  panel.offer(model.stages);
}

function setStatus(text, kind = "") {
  part("status").textContent = text;
  part("status").className = kind;
}

/** The form's values; null if the browser reports that they are invalid. */
function readForm() {
  // To the browser, spaces alone would be a caption.
  part("caption").value = part("caption").value.trim();
  if (!part("form").reportValidity()) return null;
  // A lone surrogate cannot be encoded; decoders replace it, too.
  const caption = part("caption").value.replace(/\s+/g, " ")
    .replace(/\p{Surrogate}/gu, "\ufffd");
  const pictures = Number(part("pictures").value);
  const text = part("seed").value;
  return { caption, pictures, seed: text ? Number(text) : null };
}

/** A link to images; browsers do not send its fragment to a server. */
function linkTo({ caption, seed, pictures }) {
  const values = new URLSearchParams({ caption });
  if (seed !== null) values.set("seed", seed);
  values.set("pictures", pictures);
  const here = new URL(location.href);
  here.hash = values.toString();
  return here.href;
}

/** Fills the form from the page's link; false if it has no values. */
function readLink() {
  const values = new URLSearchParams(location.hash.slice(1));
  if (!values.has("caption")) return false;
  const pictures = Number(values.get("pictures"));
  part("caption").value = values.get("caption");
  part("seed").value = values.get("seed") ?? "";
  const offered = [1, 2, 3, 4, 5, 6, 7, 8];
  part("pictures").value = offered.includes(pictures) ? pictures : 1;
  return true;
}

/** Requests the images of the form, and cancels earlier requests. */
async function draw({ remember }) {
  const wanted = readForm();
  if (!wanted) return;
  if (remember && linkTo(wanted) !== location.href) {
    history.pushState(null, "", linkTo(wanted));
  }
  run?.controller.abort();
  const first = wanted.seed ?? 0;
  const shots = Array.from({ length: wanted.pictures }, (_, k) => (
    { seed: first + k, source: null, attention: null }));
  const mine = {
    caption: wanted.caption, shots, selected: 0, done: 0,
    controller: new AbortController(),
  };
  run = mine;
  setStatus("Generating …");
  try {
    await connect(); // the layout depends on the model
    if (mine !== run) return;
    panel.reset(wanted.caption.split(" "));
    layOut();
    const waiting = shots.keys();
    await Promise.all(Array.from({ length: AT_ONCE }, async () => {
      for (const k of waiting) await drawOne(mine, k);
    }));
    if (mine !== run) return;
    setStatus(shots.length > 1 ? `${shots.length} images.` : "Done.");
    await attend(mine);
  } catch (error) {
    fail(mine, error);
  }
}

async function drawOne(mine, k) {
  const { shots, caption, controller } = mine;
  const answer = await server.predict(
    "generate_png", { captions: caption, seeds: shots[k].seed },
    controller.signal, reportBusy);
  // A single output comes without its name.
  if (typeof answer?.b64 !== "string") {
    throw new ServerError(`“${server.model}” answered without an image.`);
  }
  if (mine !== run) return;
  shots[k].source = `data:image/png;base64,${answer.b64}`;
  mine.done += 1;
  if (mine.done < shots.length) {
    setStatus(`Generating … ${mine.done} of ${shots.length}`);
  }
  show(k);
}

function reportBusy(seconds) {
  setStatus(`The server is busy; trying again in ${Math.ceil(seconds)} s …`);
}

/** Shows the attention of the selected image; requests it once. */
async function attend(mine) {
  const shot = mine.shots[mine.selected];
  if (!model.stages.length || !shot.source) return;
  if (!shot.attention) {
    panel.wait("Loading the attention …", mine.caption.split(" "));
    const answer = await server.predict(
      "generate_with_attention", { captions: mine.caption, seeds: shot.seed },
      mine.controller.signal, reportBusy);
    shot.attention = readAttention(
      answer, model.stages, mine.caption);
  }
  if (mine === run && mine.shots[mine.selected] === shot) {
    panel.show(shot.attention);
  }
}

function fail(mine, error) {
  if (mine !== run) return; // replaced by another run
  mine.controller.abort(); // its other requests
  mine.controller = new AbortController();
  if (!(error instanceof ServerError)) console.error(error);
  setStatus(error instanceof ServerError ? error.message : `Failed: ${error}`, "error");
  part("results").hidden = mine.done === 0;
  for (const tile of document.querySelectorAll("#results .waiting")) {
    tile.classList.replace("waiting", "missing");
  }
  panel.wait("");
}

/** Reserves space for all images of the run, so that nothing moves later. */
function layOut() {
  part("results").hidden = false;
  part("thumbs").hidden = run.shots.length < 2;
  part("thumbs").replaceChildren(...run.shots.map((shot, k) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "tile waiting";
    button.disabled = true;
    button.setAttribute("aria-label", `Image ${k + 1}, seed ${shot.seed}`);
    button.addEventListener("click", () => select(k));
    const item = document.createElement("li");
    item.append(button);
    return item;
  }));
  show(run.selected);
}

/** Updates the page for one image of the run. */
function show(k) {
  const { shots, caption, selected } = run;
  const { source, seed } = shots[k];
  const tile = part("thumbs").children[k].firstChild;
  if (source && !tile.firstChild) {
    const image = new Image();
    Object.assign(image, { src: source, alt: "" });
    tile.append(image);
    tile.classList.remove("waiting", "missing");
    tile.disabled = false;
  }
  tile.setAttribute("aria-pressed", String(k === selected));
  if (k !== selected) return;
  const picture = part("picture");
  picture.hidden = !source;
  part("frame").className = source ? "tile" : "tile waiting";
  part("actions").classList.toggle("off", !source);
  part("title").textContent = `“${caption}”`;
  part("shown-seed").textContent = `Seed ${seed}`;
  if (!source) return;
  picture.src = source;
  picture.alt = `Image of “${caption}”, seed ${seed}`;
  const name = caption.toLowerCase().replace(/[^a-z0-9]+/g, "_").slice(0, 48);
  part("download").href = source;
  part("download").download = `${name || "picture"}_${seed}.png`;
}

async function select(k) {
  const mine = run;
  const before = mine.selected;
  mine.selected = k;
  show(before);
  show(k);
  try {
    await attend(mine);
  } catch (error) {
    fail(mine, error);
  }
}

async function copyLink() {
  const { caption, shots, selected } = run;
  const { seed } = shots[selected];
  const link = linkTo({ caption, seed, pictures: 1 });
  try {
    await navigator.clipboard.writeText(link);
    setStatus("The link to this image was copied.");
  } catch {
    // Not allowed, for example on a page without HTTPS.
    history.pushState(null, "", link);
    setStatus("The address of this page is now a link to this image.");
  }
}

part("form").addEventListener("submit", (event) => {
  event.preventDefault();
  draw({ remember: true });
});
part("caption").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    part("form").requestSubmit();
  }
});
part("examples").addEventListener("click", (event) => {
  if (event.target.type !== "button") return;
  part("caption").value = event.target.textContent;
  part("form").requestSubmit();
});
part("new-seed").addEventListener("click", () => {
  part("seed").value = Math.floor(Math.random() * 1e6);
  part("form").requestSubmit();
});
part("copy").addEventListener("click", copyLink);
addEventListener("popstate", () => {
  if (readLink()) draw({ remember: false });
});

if (readLink()) draw({ remember: false });
else connect().catch((error) => setStatus(error.message, "error"));
