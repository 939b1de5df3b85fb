// What the programs share: where Herd is, and how each says what came of its steps. Knows no client, no engine.
// A step is a function: it ends, or throws why not. What came of it is one line of JSON.

export const { HERD_URL: URL, HERD_MODEL: MODEL } = process.env;
export const NOBODY = "nobody-has:1b";
export const QUESTION = "Tell me a story about a fox.";
export const TOKENS = 16;

export function assert(truth, why) {
  if (!truth) throw new Error(why);
}

export async function refusal(doing) {
  try {
    await doing();
  } catch (error) {
    return error;
  }
  throw new Error("an answer of a model that nobody has");
}

export async function run(steps) {
  for (const [name, step] of Object.entries(steps)) {
    const said = { step: name.replace(/[A-Z]/g, (letter) => " " + letter.toLowerCase()), failed: null };
    try {
      await step();
    } catch (error) {
      console.error(error);
      said.failed = `${error.name}: ${error.message}`;
    }
    console.log(JSON.stringify(said));
  }
}
