// The AI SDK with its own provider for services that speak as OpenAI's.

import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { APICallError, generateObject, generateText, streamText, tool } from "ai";
import { z } from "zod";
import { assert, MODEL, NOBODY, QUESTION, refusal, run, TOKENS, URL } from "./steps.mjs";

const herd = createOpenAICompatible({ name: "herd", baseURL: `${URL}/v1`, supportsStructuredOutputs: true });
const asked = { model: herd(MODEL), prompt: QUESTION, maxOutputTokens: TOKENS, maxRetries: 0 };

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
    const answer = await generateObject({ ...asked, schema, prompt: "Name a city.", maxOutputTokens: 64 });
    assert(typeof answer.object.city === "string", "no city");
  },
  async tools() {
    const weather = tool({ description: "Weather.", inputSchema: z.object({ city: z.string() }) });
    const answer = await generateText({ ...asked, tools: { weather } });
    assert(answer.text || answer.toolCalls.length, "neither text nor a call");
  },
  async unknownModel() {
    const error = await refusal(() => generateText({ ...asked, model: herd(NOBODY) }));
    assert(APICallError.isInstance(error) && error.statusCode === 404, error.message);
  },
});
