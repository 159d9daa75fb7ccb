/* The words of a caption: pointing at one shows its attention. */
"use strict";

const WORDS_HINT = "Point at a word, or choose it with the arrow keys.";
// Characters, with marks, of scripts without spaces: each is a word.
const UNSPACED = new RegExp(`[${
  ["Han", "Hiragana", "Katakana", "Thai", "Lao", "Khmer", "Myanmar"]
    .map((script) => `\\p{Script=${script}}`).join("")}]\\p{M}*`, "gu");

/** The part of the page that shows an image's attention. */
class WordPanel {
  /** @param {object} parts - attention, words, stages, explanation, heat. */
  constructor(parts) {
    this.parts = parts;
    this.stage = null;
    this.pinned = null; // the index of a word; the same for all images
    this.pointed = null;
    this.focused = null;
    this.attention = null;
    parts.words.addEventListener("keydown", (event) => this.onKey(event));
  }

  /** Prepares for another caption, without a pinned word. */
  reset(words) {
    this.pinned = null;
    this.wait("", words);
  }

  /** Shows the reason to wait, and placeholders for the words. */
  wait(reason, words = []) {
    this.attention = null;
    this.pointed = this.focused = null;
    this.parts.words.replaceChildren(...words.slice(0, 20).map((word) => {
      const bar = document.createElement("span");
      bar.className = "word waiting";
      bar.textContent = word;
      bar.setAttribute("aria-hidden", "true");
      return bar;
    }));
    this.parts.stages.disabled = true;
    this.parts.attention.classList.remove("lit");
    this.parts.explanation.textContent = reason;
    clearHeat(this.parts.heat);
  }

  /**
   * Shows the words of an image.
   * @param {object} attention - words; note, a sentence about the others;
   *   stages with size and maps [T][h][w].
   */
  show(attention) {
    this.attention = attention;
    const buttons = attention.words.map((word, i) => this.wordButton(word, i));
    this.parts.words.replaceChildren(...buttons);
    this.parts.stages.disabled = false;
    this.refresh();
  }

  wordButton(word, i) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "word";
    button.textContent = word;
    button.tabIndex = i === (this.pinned ?? 0) ? 0 : -1;
    const point = (index) => () => {
      this.pointed = index;
      this.refresh();
    };
    button.addEventListener("pointerenter", point(i));
    button.addEventListener("pointerleave", point(null));
    button.addEventListener("focus", () => {
      this.focused = button.matches(":focus-visible") ? i : null;
      for (const other of this.parts.words.children) other.tabIndex = -1;
      button.tabIndex = 0;
      this.refresh();
    });
    button.addEventListener("blur", () => {
      this.focused = null;
      this.refresh();
    });
    button.addEventListener("click", () => {
      this.pinned = this.pinned === i ? null : i;
      this.refresh();
    });
    return button;
  }

  /**
   * Offers the stages that attend to words, and selects the last.
   * @param {object[]} stages - with the size of the image of each.
   */
  offer(stages) {
    this.stage = stages.length - 1;
    const choices = stages.map(({ size }, i) => {
      const label = document.createElement("label");
      const input = document.createElement("input");
      Object.assign(input, { type: "radio", name: "stage", value: i });
      input.checked = i === this.stage;
      input.addEventListener("change", () => {
        this.stage = i;
        this.refresh();
      });
      label.append(input, `${size} × ${size}`);
      return label;
    });
    this.parts.stages.append(...choices);
    this.parts.stages.hidden = stages.length < 2;
  }

  /** Shows the word that is pointed at, focused or pinned, in this order. */
  refresh() {
    if (!this.attention) return;
    const { words, stages } = this.attention;
    const { maps } = stages[this.stage];
    const shown = this.pointed ?? this.focused ?? this.pinned;
    const sums = maps.map((map) => map.flat().reduce((a, b) => a + b, 0));
    const largest = Math.max(...sums);
    [...this.parts.words.children].forEach((button, i) => {
      button.setAttribute("aria-pressed", String(i === this.pinned));
      button.classList.toggle("shown", i === shown);
      button.style.setProperty("--fraction", sums[i] / largest);
    });
    if (shown === null || shown >= words.length) {
      this.parts.attention.classList.remove("lit");
      this.parts.explanation.textContent = this.attention.note + WORDS_HINT;
      clearHeat(this.parts.heat);
      return;
    }
    const { values, peak } = aboveUniform(maps[shown], words.length);
    if (values) paintHeat(this.parts.heat, values);
    else clearHeat(this.parts.heat);
    this.parts.attention.classList.toggle("lit", peak > 0);
    this.parts.explanation.textContent = explain(
      words[shown], peak, words.length);
  }

  onKey(event) {
    const buttons = [...this.parts.words.children];
    const here = buttons.indexOf(document.activeElement);
    const last = buttons.length - 1;
    const goal = {
      ArrowRight: here === last ? 0 : here + 1,
      ArrowLeft: here === 0 ? last : here - 1,
      Home: 0,
      End: last,
    }[event.key];
    if (here >= 0 && goal !== undefined) {
      event.preventDefault();
      buttons[goal].focus();
    } else if (event.key === "Escape") {
      this.pinned = this.focused = null;
      this.refresh();
    }
  }
}

/** A description of a heat map. */
function explain(word, peak, count) {
  const percent = (weight) => `${Math.round(weight * 100)} %`;
  const uniform = `equal attention to all words would be ${percent(1 / count)}`;
  return peak
    ? `“${word}” has up to ${percent(peak)} of the attention at one position; ${uniform}.`
    : `“${word}” does not exceed equal attention at any position; ${uniform}.`;
}

/** A word without regard to case: "ß" equals "ss", and "ς" equals "σ". */
function folded(word) {
  return word.toUpperCase().toLowerCase().replace(/ς/g, "σ").normalize("NFC");
}

/** A sentence about the words of a caption that the model ignores, or "". */
function noteOfIgnored(caption, words) {
  const used = new Set(words);
  // A tokenizer may drop letters outside of ASCII, or fold case.
  const isUsed = (word) => [word, word.replace(/[^ -~]/g, ""), folded(word)]
    .some((form) => used.has(form));
  const found = caption.toLowerCase().normalize("NFC").replace(/\p{Cf}/gu, "")
    .replace(UNSPACED, " $& ").match(/[\p{L}\p{N}_][\p{L}\p{M}\p{N}_]*/gu) ?? [];
  const ignored = [...new Set(found)].filter((word) => !isUsed(word));
  if (words[0] === "<end>") {
    return "The model knows no word of this caption: its images depend on the seed alone. ";
  }
  return ignored.length ? `The model does not use: ${ignored.join(", ")}. ` : "";
}

/** The attention in an answer, without padding. */
function readAttention(answer, stages, caption) {
  const count = answer.lengths;
  const words = answer.tokens.slice(0, count);
  return {
    words,
    note: noteOfIgnored(caption, words),
    stages: stages.map(({ name, size }) => ({
      size, maps: answer[name].slice(0, count),
    })),
  };
}
