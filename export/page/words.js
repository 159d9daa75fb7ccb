/* The words of a caption: point at one, and see where it was drawn. */
"use strict";

const WORDS_HINT = "Point at a word, or choose it with the arrow keys.";

/** The part of the page that shows a picture's attention. */
class WordPanel {
  /** @param {object} parts - attention, words, stages, explanation, heat. */
  constructor(parts) {
    this.parts = parts;
    this.stage = null;
    this.pinned = null; // a word; kept from picture to picture
    this.pointed = null;
    this.focused = null;
    this.attention = null;
    parts.words.addEventListener("keydown", (event) => this.onKey(event));
  }

  /** Another caption follows: forgets the pinned word. */
  reset(words) {
    this.pinned = null;
    this.wait("", words);
  }

  /** Nothing to show yet; says why, and keeps places for words that come. */
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
   * Shows the words of a picture.
   * @param {object} attention - words; stages with size and maps [T][h][w].
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
    const point = (place) => () => {
      this.pointed = place;
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
   * Offers the stages that attend to words; the last one is chosen.
   * @param {object[]} stages - with the size of the picture each draws.
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

  /** Paints the word that is pointed at, pinned or focused, in this order. */
  refresh() {
    if (!this.attention) return;
    const { words, stages } = this.attention;
    const { maps } = stages[this.stage];
    const shown = this.pointed ?? this.focused ?? this.pinned;
    const sums = maps.map((map) => map.flat().reduce((a, b) => a + b, 0));
    const most = Math.max(...sums);
    [...this.parts.words.children].forEach((button, i) => {
      button.setAttribute("aria-pressed", String(i === this.pinned));
      button.classList.toggle("shown", i === shown);
      button.style.setProperty("--share", sums[i] / most);
    });
    if (shown === null || shown >= words.length) {
      this.parts.attention.classList.remove("lit");
      this.parts.explanation.textContent = WORDS_HINT;
      clearHeat(this.parts.heat);
      return;
    }
    const { values, peak } = aboveShare(maps[shown], words.length);
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

/** What a heat map says, in words. */
function explain(word, peak, count) {
  const percent = (share) => `${Math.round(share * 100)} %`;
  const equal = `an equal share is ${percent(1 / count)}`;
  return peak
    ? `“${word}” has up to ${percent(peak)} of a place’s attention; ${equal}.`
    : `“${word}” has no place’s special attention; ${equal}.`;
}

/** The attention in an answer of generate_with_attention, padding left out. */
function readAttention(answer, stages) {
  const count = answer.lengths;
  return {
    words: answer.tokens.slice(0, count),
    stages: stages.map(({ name, size }) => ({
      size, maps: answer[name].slice(0, count),
    })),
  };
}
