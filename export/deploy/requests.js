/* Checks the bodies of predict requests for nginx.conf.
 *
 * The checked values are serialized again, instead of forwarding the client's
 * text: the server's parser differs, for example if a key occurs twice.
 */

const MAX_ROWS = 8; // max_batch_size in batching.pbtxt
const MAX_DEPTH = 5; // the body, the list of rows, a row, an input, {"b64"}

function check(request) {
  let body;
  try {
    body = checked(JSON.parse(request.requestText));
  } catch (error) {
    request.headersOut["Content-Type"] = "application/json";
    request.return(400, JSON.stringify({ error: error.message }) + "\n");
    return;
  }
  request.variables.checked_body = JSON.stringify(body);
  request.internalRedirect("@serving");
}

/* The parts of a body that the server needs; throws an Error. */
function checked(body) {
  if (!isObject(body)) throw new Error("the body must be a JSON object");
  const given = ["instances", "inputs"].filter((key) => key in body);
  if (given.length !== 1) {
    throw new Error("the body must hold either instances or inputs");
  }
  const key = given[0];
  const values = body[key];
  checkValues(values, 1);
  if (key === "inputs" && isObject(values)) {
    const names = Object.keys(values);
    if (!names.length) throw new Error("inputs must hold the inputs by name");
    names.forEach((name) => checkRows(name, values[name]));
  } else {
    checkRows(key, values);
  }
  const result = {};
  if ("signature_name" in body) {
    result.signature_name = String(body.signature_name);
  }
  result[key] = values;
  return result;
}

function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function checkRows(name, rows) {
  const count = Array.isArray(rows) ? rows.length : 0;
  if (count < 1 || count > MAX_ROWS) {
    throw new Error(
      name + " must be a list of 1 to " + MAX_ROWS + " rows; received " + count);
  }
}

/* Numbers are doubles here: a larger integer would be changed. */
function checkValues(value, depth) {
  if (depth > MAX_DEPTH) {
    throw new Error("lists and objects must be at most " + MAX_DEPTH + " deep");
  }
  if (Number.isInteger(value) && !Number.isSafeInteger(value)) {
    throw new Error("integers must be from -(2^53 - 1) to 2^53 - 1");
  }
  if (typeof value === "object" && value !== null) {
    Object.keys(value).forEach((key) => checkValues(value[key], depth + 1));
  }
}

export default { check };
