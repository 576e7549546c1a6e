/** Messages, as Anthropic serves them. */
import { z } from 'zod'
import type { Reading, WireFormat } from './model.js'

const OFFICIAL = 'https://api.anthropic.com'
const MODEL = 'claude-sonnet-4-5'
const VERSION = '2023-06-01'

const usage = z.object({ input_tokens: z.number().optional(), output_tokens: z.number().optional() })
const Event = z.discriminatedUnion('type', [
  z.object({ type: z.literal('message_start'), message: z.object({ usage }) }),
  z.object({
    type: z.literal('content_block_delta'),
    delta: z.object({ type: z.string(), text: z.string().optional() }),
  }),
  z.object({
    type: z.literal('message_delta'),
    delta: z.object({ stop_reason: z.string().nullish() }),
    usage: usage.optional(),
  }),
  z.object({ type: z.literal('message_stop') }),
  z.object({ type: z.literal('error'), error: z.object({ type: z.string(), message: z.string() }) }),
])

export class AnthropicWire implements WireFormat {
  readonly name: string
  readonly url: string
  readonly key: string
  readonly #model: string

  constructor(given: { model: string | null; url: string | null }, key: string, env: Record<string, string>) {
    const base = (given.url ?? (env['ANTHROPIC_BASE_URL'] || OFFICIAL))
      .replace(/\/+$/, '')
      .replace(/\/v1$/, '')
    this.#model = given.model ?? (env['ANTHROPIC_MODEL'] || MODEL)
    this.url = `${base}/v1/messages`
    this.name = this.#model
    this.key = key
  }

  headers(): Record<string, string> {
    return { 'x-api-key': this.key, 'anthropic-version': VERSION }
  }

  body(role: string, question: string, tokens: number): unknown {
    return {
      model: this.#model,
      max_tokens: tokens,
      system: role,
      messages: [{ role: 'user', content: question }],
      stream: true,
    }
  }

  read(event: unknown, into: Reading): void {
    // Kinds that came later, and pings, are passed over.
    const parsed = Event.safeParse(event)
    if (!parsed.success) return
    const { data } = parsed
    switch (data.type) {
      case 'message_start':
        into.read = data.message.usage.input_tokens ?? null
        return
      case 'content_block_delta':
        into.text += data.delta.text ?? ''
        return
      case 'message_delta':
        into.written = data.usage?.output_tokens ?? into.written
        if (data.delta.stop_reason === 'max_tokens') into.cut = true
        return
      case 'message_stop':
        into.done = true
        return
      case 'error':
        into.error = `${data.error.type}: ${data.error.message}`
    }
  }
}
