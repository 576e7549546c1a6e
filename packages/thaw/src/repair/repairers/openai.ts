/** Chat completions, as OpenAI and those compatible with it serve them. */
import { z } from 'zod'
import type { Reading, WireFormat } from './model.js'

const OFFICIAL = 'https://api.openai.com/v1'
const MODEL = 'gpt-4.1'

const Chunk = z.object({
  choices: z
    .array(
      z.object({
        delta: z.object({ content: z.string().nullish() }).optional(),
        finish_reason: z.string().nullish(),
      }),
    )
    .default([]),
  usage: z.object({ prompt_tokens: z.number(), completion_tokens: z.number() }).nullish(),
  error: z.object({ message: z.string() }).optional(),
})

export class OpenAiWire implements WireFormat {
  readonly name: string
  readonly url: string
  readonly key: string
  readonly #model: string
  readonly #official: boolean

  constructor(given: { model: string | null; url: string | null }, key: string, env: Record<string, string>) {
    const base = (given.url ?? (env['OPENAI_BASE_URL'] || OFFICIAL)).replace(/\/+$/, '')
    this.#model = given.model ?? (env['OPENAI_MODEL'] || MODEL)
    this.#official = base === OFFICIAL
    this.url = `${base}/chat/completions`
    this.name = this.#model
    this.key = key
  }

  headers(): Record<string, string> {
    return { authorization: `Bearer ${this.key}` }
  }

  body(role: string, question: string, tokens: number): unknown {
    return {
      model: this.#model,
      messages: [
        { role: 'system', content: role },
        { role: 'user', content: question },
      ],
      stream: true,
      stream_options: { include_usage: true },
      // The newer name, which most others do not know.
      [this.#official ? 'max_completion_tokens' : 'max_tokens']: tokens,
    }
  }

  read(event: unknown, into: Reading): void {
    const { choices, usage, error } = Chunk.parse(event)
    if (error !== undefined) into.error = error.message
    for (const { delta, finish_reason } of choices) {
      into.text += delta?.content ?? ''
      if (finish_reason === 'length') into.cut = true
      if (finish_reason) into.done = true
    }
    if (usage) {
      into.read = usage.prompt_tokens
      into.written = usage.completion_tokens
    }
  }
}
