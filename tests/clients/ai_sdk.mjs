// Runs the AI SDK with @ai-sdk/openai-compatible against BASE_URL and prints one JSON object: the facts of each case.
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { generateObject, generateText, stepCountIs, streamText, tool } from 'ai';
import { z } from 'zod';

const provider = createOpenAICompatible({
  name: 'codex-lb',
  baseURL: process.env.BASE_URL,
  apiKey: process.env.API_KEY,
  includeUsage: true,
  supportsStructuredOutputs: true,
});
const model = provider('gpt-5.4');
const weather = tool({
  description: 'The weather of a city',
  inputSchema: z.object({ city: z.string() }),
  execute: async ({ city }) => `sunny in ${city}`,
});
const steps = 'sim:call weather {"city":"Oslo"} and weather {"city":"Rome"} then weather {"city":"Kyiv"} then say done';

/** Usage without what only this SDK knows. */
function tokens(usage) {
  return {
    input: usage.inputTokens,
    cached: usage.cachedInputTokens ?? usage.inputTokenDetails?.cacheReadTokens,
    output: usage.outputTokens,
    reasoning: usage.reasoningTokens ?? usage.outputTokenDetails?.reasoningTokens,
    total: usage.totalTokens,
  };
}

const cases = {
  async stream_text() {
    const result = streamText({
      model,
      prompt: 'Say hello',
      seed: 7,
      maxRetries: 0,
      providerOptions: { 'codex-lb': { reasoningEffort: 'high', user: 'me' } },
    });
    const kinds = [];
    for await (const part of result.fullStream) kinds.push(part.type);
    return {
      kinds: [...new Set(kinds)],
      text: await result.text,
      reasoning: await result.reasoningText,
      finish: await result.finishReason,
      usage: tokens(await result.usage),
    };
  },

  async stream_tools() {
    const result = streamText({ model, prompt: steps, tools: { weather }, stopWhen: stepCountIs(8), maxRetries: 0 });
    await result.consumeStream();
    const done = await result.steps;
    return {
      steps: done.map((step) => ({
        calls: step.toolCalls.map((call) => [call.toolName, call.input]),
        results: step.toolResults.map((each) => each.output),
        reasoning: step.reasoningText,
        finish: step.finishReason,
      })),
      text: await result.text,
    };
  },

  async generate_tools() {
    const result = await generateText({ model, prompt: steps, tools: { weather }, stopWhen: stepCountIs(8), maxRetries: 0 });
    return {
      calls: result.steps.map((step) => step.toolCalls.map((call) => call.input.city)),
      reasoning: result.steps.map((step) => step.reasoningText),
      text: result.text,
    };
  },

  async generate_object() {
    const result = await generateObject({
      model,
      prompt: 'Who is it?',
      schema: z.object({ name: z.string(), age: z.number() }),
      maxRetries: 0,
    });
    return result.object;
  },

  async image() {
    const pixel = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';
    const content = [
      { type: 'text', text: 'What is this?' },
      { type: 'image', image: Buffer.from(pixel, 'base64'), mediaType: 'image/png' },
    ];
    const result = await generateText({ model, messages: [{ role: 'user', content }], maxRetries: 0 });
    return { text: result.text };
  },

  async any_error() {
    try {
      await generateText({ model, prompt: 'Say hello', maxRetries: 0 });
      return { status: 200 };
    } catch (error) {
      return { name: error.name, status: error.statusCode, message: error.message, retryable: error.isRetryable };
    }
  },
};

const facts = {};
for (const name of process.argv.slice(2)) {
  try {
    facts[name] = await cases[name]();
  } catch (error) {
    facts[name] = { raised: `${error.stack ?? error}` };
  }
}
console.log(JSON.stringify(facts));
