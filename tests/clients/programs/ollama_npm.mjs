// Ollama's own library for JavaScript: what there is, chats and texts, and the errors.

import { Ollama } from "ollama";
import { assert, MODEL, NOBODY, QUESTION, refusal, run, TOKENS, URL } from "./steps.mjs";

const client = new Ollama({ host: URL });
const asked = { model: MODEL, messages: [{ role: "user", content: QUESTION }], options: { num_predict: TOKENS } };

await run({
  async models() {
    const { models } = await client.list();
    assert(models.some((model) => model.name === MODEL), "the model is not in the list");
  },
  async show() {
    assert((await client.show({ model: MODEL })).capabilities.includes("completion"), "no completion");
  },
  async chat() {
    const answer = await client.chat(asked);
    assert(answer.message.content && answer.done, "no answer");
    assert(answer.eval_count > 0 && answer.eval_count <= TOKENS, "not the tokens that were asked for");
  },
  async chatStream() {
    const parts = [];
    for await (const part of await client.chat({ ...asked, stream: true })) parts.push(part);
    assert(parts.filter((part) => part.message.content).length > 2, "too few pieces");
    assert(parts.filter((part) => part.done).length === 1 && parts.at(-1).done, "no end, or more than one");
  },
  async generate() {
    const answer = await client.generate({ model: MODEL, prompt: QUESTION, options: { num_predict: TOKENS } });
    assert(answer.response && answer.done, "no answer");
  },
  async loaded() {
    assert((await client.ps()).models.some((model) => model.name === MODEL), "the model is not loaded");
  },
  async unknownModel() {
    const error = await refusal(() => client.chat({ ...asked, model: NOBODY }));
    assert(error.status_code === 404 && /nobody-has:1b.* not found/.test(error.message), error.message);
  },
});
