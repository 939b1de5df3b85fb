// The AI SDK with a provider for Ollama.

import { generateObject, generateText, streamText } from "ai";
import { createOllama } from "ollama-ai-provider-v2";
import { z } from "zod";
import { assert, MODEL, QUESTION, run, TOKENS, URL } from "./steps.mjs";

const model = createOllama({ baseURL: `${URL}/api` })(MODEL);
// The provider writes maxOutputTokens into a field that no Ollama reads; its own options reach the engine.
const few = (tokens) => ({ providerOptions: { ollama: { options: { num_predict: tokens } } } });
const asked = { model, prompt: QUESTION, maxRetries: 0, ...few(TOKENS) };

await run({
  async generateText() {
    const answer = await generateText(asked);
    assert(answer.text, "no text");
    assert(answer.usage.outputTokens > 0 && answer.usage.outputTokens <= TOKENS, "not the tokens asked for");
  },
  async streamText() {
    const answer = streamText(asked);
    let pieces = 0;
    for await (const piece of answer.textStream) pieces += piece ? 1 : 0;
    assert(pieces > 2, "too few pieces");
    assert(["length", "stop"].includes(await answer.finishReason), await answer.finishReason);
  },
  async generateObject() {
    const schema = z.object({ city: z.string().max(8) });
    const answer = await generateObject({ ...asked, schema, prompt: "Name a city.", ...few(64) });
    assert(typeof answer.object.city === "string", "no city");
  },
});
