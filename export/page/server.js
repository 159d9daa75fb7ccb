/* A client of TensorFlow Serving's REST port, with readable errors. */
"use strict";

const TRIES = 5; // while the server is busy
const TIMEOUT = 90; // seconds; the server's is 30

/** An error with a message for the user. */
class ServerError extends Error {}

/** A model of a server. */
class Server {
  /**
   * @param {string} base - the address, http://host:8501.
   * @param {string} model - its name.
   */
  constructor(base, model) {
    this.base = base.replace(/\/+$/, "");
    this.model = model;
    this.address = `${this.base}/v1/models/${encodeURIComponent(model)}`;
  }

  /**
   * What the model offers: its version, the size of its images (null if it is
   * unknown), and its attention stages.
   */
  async describe() {
    const answer = await this.request(`${this.address}/metadata`, {});
    const found = answer?.metadata?.signature_def?.signature_def;
    if (!found?.generate_png) {
      throw new ServerError(
        `“${this.model}” at ${this.base} cannot generate images: it has no ` +
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
   * @param {function(number)} onWait - receives the seconds until a retry.
   */
  async predict(signature, row, signal, onWait) {
    // fetch sends a string as plain text, which needs no preflight request to
    // another origin; the server ignores the content type.
    const body = JSON.stringify({ signature_name: signature, instances: [row] });
    for (let attempt = 1; ; attempt++) {
      try {
        const answer = await this.request(`${this.address}:predict`, {
          method: "POST", body, signal,
        });
        if (answer?.predictions?.length !== 1) {
          throw new ServerError(`${this.base} answered without a prediction.`);
        }
        return answer.predictions[0];
      } catch (error) {
        if (!error.busy || attempt === TRIES) throw error;
        const wait = 2 ** (attempt - 1) * (0.75 + Math.random() / 2);
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

  /** The error for a request without a readable answer. */
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
    // fetch does not distinguish a missing answer from one that the browser
    // withheld; an opaque request does.
    const there = await fetch(this.address, { mode: "no-cors" })
      .then(() => true, () => false);
    return new ServerError(there
      ? `${this.base} answers, but does not let pages of other origins read ` +
        "its answers. Start it with --rest_api_enable_cors_support."
      : `The server at ${this.base} cannot be reached. Is it running? Another ` +
        "one can be named with ?server=http://host:8501.");
  }

  /** The error for an answer with a status other than 200. */
  async refusal(response) {
    const message = await response.json().then(
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
      return error;
    }
    if (response.status === 504) {
      return new ServerError(
        `The server at ${this.base} took too long. Try again.`);
    }
    return new ServerError(
      `${this.base} answered ${response.status}: ${message.slice(0, 300)}`);
  }
}

/** Waits; throws as soon as the signal is aborted. */
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
