/* TensorFlow Serving's REST end: signatures, predictions, errors in words. */
"use strict";

const TRIES = 5; // of a busy server
const LONGEST_WAIT = 20; // seconds between tries
const TIMEOUT = 90; // seconds; the server's own is 30

/** What went wrong, in words for the page. */
class ServerError extends Error {}

/** A model behind a REST end. */
class Server {
  /**
   * @param {string} base - where it listens, http://host:8501.
   * @param {string} model - its name.
   */
  constructor(base, model) {
    this.base = base.replace(/\/+$/, "");
    this.model = model;
    this.place = `${this.base}/v1/models/${encodeURIComponent(model)}`;
  }

  /**
   * What the model offers: its version, its signatures' outputs, and the size
   * of its pictures (null where it cannot be told).
   */
  async describe() {
    const answer = await this.request(`${this.place}/metadata`, {});
    const found = answer?.metadata?.signature_def?.signature_def;
    if (!found?.generate_png) {
      throw new ServerError(
        `“${this.model}” at ${this.base} draws no pictures: it has no ` +
          "signature generate_png. Name another model with ?model=NAME.");
    }
    const dims = found.generate?.outputs?.images?.tensor_shape?.dim ?? [];
    const size = Number(dims[1]?.size);
    const attention = found.generate_with_attention;
    const stages = Object.keys(attention?.outputs ?? {})
      .filter((name) => name.startsWith("attention_"))
      .map((name) => ({ name, size: Number(name.split("_")[1]) }))
      .sort((a, b) => a.size - b.size);
    const version = answer.model_spec?.version;
    return { version, size: size > 0 ? size : null, stages };
  }

  /**
   * The outputs for one row of inputs.
   * @param {string} signature
   * @param {object} row - inputs by name.
   * @param {AbortSignal} signal
   * @param {function(number)} onWait - told the seconds until the next try.
   */
  async predict(signature, row, signal, onWait) {
    // Plain text, which fetch sends by itself, needs no preflight request from
    // another origin; the server reads the body alone.
    const body = JSON.stringify({ signature_name: signature, instances: [row] });
    for (let attempt = 1; ; attempt++) {
      try {
        const answer = await this.request(`${this.place}:predict`, {
          method: "POST", body, signal,
        });
        if (answer?.predictions?.length !== 1) {
          throw new ServerError(`${this.base} answered without a prediction.`);
        }
        return answer.predictions[0];
      } catch (error) {
        if (!error.busy || attempt === TRIES) throw error;
        const backoff = 2 ** (attempt - 1) * (0.75 + Math.random() / 2);
        const wait = Math.min(LONGEST_WAIT, Math.max(backoff, error.after));
        onWait(wait);
        await pause(wait, signal);
      }
    }
  }

  /** The JSON of an answer; throws ServerError. */
  async request(address, options) {
    const limit = AbortSignal.timeout(TIMEOUT * 1000);
    const signals = options.signal ? [options.signal, limit] : [limit];
    let response;
    try {
      response = await fetch(address, {
        ...options, signal: AbortSignal.any(signals), credentials: "omit",
      });
      if (response.ok) return await response.json();
    } catch (error) {
      if (options.signal?.aborted) throw error;
      throw await this.explain(error, response);
    }
    throw await this.refusal(response);
  }

  /** The error for a request that brought no readable answer. */
  async explain(error, response) {
    if (error.name === "TimeoutError") {
      return new ServerError(
        `${this.base} has not answered for ${TIMEOUT} seconds.`);
    }
    if (response) {
      return new ServerError(
        `${this.base} answered, but not as TensorFlow Serving does. Is it the ` +
          "REST port?");
    }
    // Fetch does not say whether there was no answer, or whether the browser
    // withheld it: an opaque request does.
    const there = await fetch(this.place, { mode: "no-cors" })
      .then(() => true, () => false);
    return new ServerError(there
      ? `${this.base} answers, but does not let pages of other origins read ` +
        "it. Start it with --rest_api_enable_cors_support."
      : `The server at ${this.base} cannot be reached. Is it running? Another ` +
        "one can be named with ?server=http://host:8501.");
  }

  /** The error for an answer with a status other than 200. */
  async refusal(response) {
    const said = await response.json().then(
      (answer) => String(answer.error), () => response.statusText);
    if (response.status === 404) {
      return new ServerError(
        `${this.base} has no model “${this.model}”. Name another model with ` +
          "?model=NAME, or another server with ?server=http://host:8501.");
    }
    if (response.status === 429 || response.status === 503) {
      const error = new ServerError(
        `The server at ${this.base} is too busy. Try again in a moment.`);
      error.busy = true;
      error.after = Number(response.headers.get("Retry-After")) || 0;
      return error;
    }
    if (response.status === 504) {
      return new ServerError(
        `The server at ${this.base} took too long and gave up. Try again.`);
    }
    return new ServerError(
      `${this.base} answered ${response.status}: ${said.slice(0, 300)}`);
  }
}

/** Waits; throws at once where the signal is aborted. */
function pause(seconds, signal) {
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", stop);
      resolve();
    }, seconds * 1000);
    signal.addEventListener("abort", stop, { once: true });
  });
}
