/** A model behind an HTTP endpoint: one question, one streamed answer, within bounds, tried again where that may help. */
import { z } from 'zod'
import type { RepairBounds } from '@thaw/protocol'
import { ThawError, type Scope } from '../../system/index.js'
import { editsOf } from '../diff.js'
import { Refused, type FileEdit } from '../edit.js'
import { ROLE, questionFor } from './prompt.js'
import type { Answerer, Question, Usage } from './repairer.js'
import { eventsOf } from './sse.js'

const TRIES = 5
/** Milliseconds before the second try; doubled for each further one. */
const BACK_OFF = 500
const LONGEST_WAIT = 30_000
/** Tokens that one answer may have. */
const ANSWER_TOKENS = 16_000
/** Characters of text that make a token, about. */
const CHARACTERS = 4

/** What an endpoint's wire format comes to. */
export interface WireFormat {
  readonly name: string
  readonly url: string
  readonly key: string
  headers(): Record<string, string>
  body(role: string, question: string, tokens: number): unknown
  /** Takes in one event. */
  read(event: unknown, into: Reading): void
}

export interface Reading {
  text: string
  read: number | null
  written: number | null
  /** The answer was cut off by the bound on its length. */
  cut: boolean
  error: string | null
  done: boolean
}

export interface ModelOptions {
  prices: readonly [number, number] | null
  bounds: RepairBounds
}

class Unavailable extends Error {
  readonly after: number | null
  constructor(message: string, after: number | null = null) {
    super(message)
    this.after = after
  }
}

export class ModelRepairer implements Answerer {
  readonly usage: Usage
  readonly #wire: WireFormat
  readonly #options: ModelOptions

  constructor(wire: WireFormat, options: ModelOptions) {
    this.#wire = wire
    this.#options = options
    this.usage = { read: 0, written: 0, dollars: options.prices === null ? null : 0 }
  }

  async answer({ bundle, seconds }: Question, scope: Scope): Promise<FileEdit[]> {
    const question = questionFor(bundle)
    const reading = await this.#ask(question, seconds, scope)
    if (reading.cut) throw new Refused('the answer was cut off before its end')
    if (reading.text.trim() === '') throw new Refused('the answer is empty')
    return editsOf(reading.text, bundle.project)
  }

  async #ask(question: string, seconds: number, scope: Scope): Promise<Reading> {
    const { bounds } = this.#options
    const estimate = Math.ceil((ROLE.length + question.length) / CHARACTERS)
    const left = bounds.tokens - this.usage.read - this.usage.written - estimate
    if (left < 1) throw bounded(`the next question would exceed ${bounds.tokens} tokens`)
    if (bounds.dollars !== null && this.usage.dollars !== null && this.usage.dollars >= bounds.dollars) {
      throw bounded(`the model has cost ${this.usage.dollars.toFixed(4)} of ${bounds.dollars} dollars`)
    }
    const signal = AbortSignal.any([scope.signal, AbortSignal.timeout(seconds * 1000)])
    for (let attempt = 1; ; attempt++) {
      const reading: Reading = { text: '', read: null, written: null, cut: false, error: null, done: false }
      try {
        await this.#stream(question, Math.min(ANSWER_TOKENS, left), reading, signal)
        return reading
      } catch (error) {
        if (scope.signal.aborted) throw new ThawError('CANCELLED', 'Cancelled while a model answered.')
        if (signal.aborted) throw new Refused(`the model took more than ${seconds} s`)
        if (!(error instanceof Unavailable) || attempt === TRIES) throw this.#failed(error)
        scope.log.info('a model is to be asked again', { attempt, why: error.message })
        const wait = error.after ?? BACK_OFF * 2 ** (attempt - 1) * (1 + Math.random() / 4)
        await pause(Math.min(wait, LONGEST_WAIT), signal)
      } finally {
        this.#count(reading, estimate)
      }
    }
  }

  async #stream(question: string, tokens: number, into: Reading, signal: AbortSignal): Promise<void> {
    const wire = this.#wire
    let answer: Response
    try {
      answer = await fetch(wire.url, {
        method: 'POST',
        headers: { 'content-type': 'application/json', accept: 'text/event-stream', ...wire.headers() },
        body: JSON.stringify(wire.body(ROLE, question, tokens)),
        signal,
      })
    } catch (error) {
      throw new Unavailable(`${hostOf(wire.url)} cannot be reached (${causeOf(error)})`)
    }
    if (!answer.ok) {
      const said = messageOf(await answer.text().catch(() => ''))
      const why = `${hostOf(wire.url)} answers ${answer.status}${said === '' ? '' : `: ${said}`}`
      if (answer.status === 408 || answer.status === 429 || answer.status >= 500) {
        throw new Unavailable(why, retryAfter(answer.headers.get('retry-after')))
      }
      throw new Error(why)
    }
    if (answer.body === null) throw new Unavailable(`${hostOf(wire.url)} gives no answer`)
    const most = tokens * CHARACTERS * 4
    try {
      for await (const data of eventsOf(answer.body as ReadableStream<Uint8Array>)) {
        if (data === '[DONE]') {
          into.done = true
          break
        }
        wire.read(JSON.parse(data), into)
        if (into.error !== null) throw new Unavailable(into.error)
        // A server that does not keep to the bound it was given.
        if (into.text.length > most) {
          into.cut = true
          break
        }
      }
    } catch (error) {
      if (error instanceof Unavailable) throw error
      throw new Unavailable(`the stream from ${hostOf(wire.url)} broke off (${causeOf(error)})`)
    }
    if (!into.done && !into.cut) throw new Unavailable(`the stream from ${hostOf(wire.url)} broke off`)
  }

  /** What the endpoint says it has taken; where it does not say, by length. */
  #count({ text, read, written }: Reading, estimate: number): void {
    if (text === '' && read === null) return
    const taken = [read ?? estimate, written ?? Math.ceil(text.length / CHARACTERS)] as const
    this.usage.read += taken[0]
    this.usage.written += taken[1]
    const { prices } = this.#options
    if (prices === null || this.usage.dollars === null) return
    this.usage.dollars += (taken[0] * prices[0] + taken[1] * prices[1]) / 1e6
  }

  #failed(error: unknown): ThawError {
    const why = (error as Error).message.replaceAll(this.#wire.key, '<masked>').replace(/\.$/, '')
    return new ThawError('REPAIRER_FAILED', `${this.#wire.name}: ${why}.`, { cause: error })
  }
}

function bounded(why: string): ThawError {
  return new ThawError('REPAIRER_FAILED', `A bound is reached: ${why}.`, {
    hint: 'Raise --max-tokens or --max-cost.',
  })
}

const ErrorBody = z.object({ error: z.union([z.string(), z.object({ message: z.string() })]) })

function messageOf(body: string): string {
  try {
    const { error } = ErrorBody.parse(JSON.parse(body))
    return (typeof error === 'string' ? error : error.message).slice(0, 300)
  } catch {
    return body.trim().slice(0, 300)
  }
}

/** Milliseconds; null where the endpoint does not say. */
function retryAfter(header: string | null): number | null {
  const seconds = Number(header)
  return header === null || !Number.isFinite(seconds) ? null : seconds * 1000
}

function hostOf(url: string): string {
  return new URL(url).host
}

function causeOf(error: unknown): string {
  const { cause, message } = error as Error
  return (cause as NodeJS.ErrnoException | undefined)?.code ?? message
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, ms)
    signal.addEventListener('abort', () => (clearTimeout(timer), resolve()), { once: true })
  })
}
