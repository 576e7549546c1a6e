/** HTTP to the Docker engine of a machine, over the socket that it listens on there (docs.docker.com/reference/api/engine). */
import { request, type IncomingMessage } from 'node:http'
import { Readable, type Duplex } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { z } from 'zod'
import { ThawError, within, type Scope } from '../../../system/index.js'
import { GuestRefused, type Guest } from '../guest/guest.js'
import { DockerSaid } from './answers.js'

const SOCKET = '/run/docker.sock'
/** Of Docker 25 and later. */
const VERSION = 'v1.44'
/** An answer that is no stream is a few kilobytes. */
const LARGEST_ANSWER = 8 * 1024 * 1024

/** What Docker refuses, in its own words. */
export class DockerRefused extends Error {
  override readonly name = 'DockerRefused'
  readonly status: number

  constructor(status: number, message: string) {
    super(message)
    this.status = status
  }
}

type Method = 'GET' | 'POST' | 'PUT' | 'DELETE'

export class DockerApi {
  readonly #guest: Guest

  constructor(guest: Guest) {
    this.#guest = guest
  }

  /** @param body an object becomes JSON; a stream is sent as the tar archive that it is */
  async ask<T extends z.ZodType>(
    schema: T,
    method: Method,
    path: string,
    body: object | null,
    scope: Scope,
  ): Promise<z.output<T>> {
    const text = await this.text(method, path, body, scope)
    const parsed = schema.safeParse(text === '' ? {} : jsonOf(text))
    if (parsed.success) return parsed.data
    throw new ThawError('ENGINE_FAILED', `Docker answered ${method} ${path} in an unknown form.`)
  }

  /** @throws DockerRefused; ThawError ENGINE_MISSING, ENGINE_FAILED, TIMEOUT, CANCELLED */
  async text(method: Method, path: string, body: object | null, scope: Scope): Promise<string> {
    const answer = await this.stream(method, path, body, scope)
    return await within(scope, 'waiting for Docker', wholeOf(answer))
  }

  /** The answer, unread. @throws as text */
  async stream(method: Method, path: string, body: object | null, scope: Scope): Promise<IncomingMessage> {
    const connection = await this.#connect(scope)
    const type = body instanceof Readable ? 'application/x-tar' : 'application/json'
    const headers = { host: 'docker', ...(body === null ? {} : { 'content-type': type }) }
    const asked = request({ method, path: `/${VERSION}${path}`, headers, createConnection: () => connection })
    const answered = new Promise<IncomingMessage>((resolve, reject) => {
      asked.once('response', resolve)
      asked.once('error', reject)
    })
    answered.catch(() => {})
    const sent =
      body instanceof Readable
        ? pipeline(body, asked)
        : Promise.resolve(void asked.end(body === null ? undefined : JSON.stringify(body)))
    try {
      // What cannot be sent to its end will not be answered either, but a refusal may come before that end.
      const both = Promise.race([answered, sent.then(() => answered)])
      const answer = await within(scope, 'waiting for Docker', both)
      await checkAnswer(answer, scope)
      return answer
    } catch (error) {
      connection.destroy()
      throw asFailure(error)
    }
  }

  /** A connection that is a program's streams from the answer on. @throws as text */
  async streams(path: string, body: object, scope: Scope): Promise<{ stream: Duplex; first: Buffer }> {
    const connection = await this.#connect(scope)
    const headers = {
      host: 'docker',
      'content-type': 'application/json',
      connection: 'Upgrade',
      upgrade: 'tcp',
    }
    const asked = request({
      method: 'POST',
      path: `/${VERSION}${path}`,
      headers,
      createConnection: () => connection,
    })
    const upgraded = new Promise<Buffer>((resolve, reject) => {
      asked.once('upgrade', (_answer, _stream, first) => resolve(first))
      asked.once(
        'response',
        (answer) => void checkAnswer(answer, scope).then(() => reject(noStream()), reject),
      )
      asked.once('error', reject)
    })
    asked.end(JSON.stringify(body))
    try {
      return { stream: connection, first: await within(scope, 'waiting for Docker', upgraded) }
    } catch (error) {
      connection.destroy()
      throw asFailure(error)
    }
  }

  async #connect(scope: Scope): Promise<Duplex> {
    return await this.#guest.dial(SOCKET, scope)
  }
}

async function checkAnswer(answer: IncomingMessage, scope: Scope): Promise<void> {
  const { statusCode = 500 } = answer
  if (statusCode < 300) return
  const text = await within(scope, 'waiting for Docker', wholeOf(answer))
  const said = DockerSaid.safeParse(jsonOf(text))
  throw new DockerRefused(statusCode, said.success ? said.data.message : `status ${statusCode}`)
}

async function wholeOf(answer: IncomingMessage): Promise<string> {
  const parts: Buffer[] = []
  let size = 0
  for await (const part of answer as AsyncIterable<Buffer>) {
    size += part.length
    if (size > LARGEST_ANSWER) throw new ThawError('ENGINE_FAILED', 'Docker answered without an end.')
    parts.push(part)
  }
  return Buffer.concat(parts).toString()
}

/** Undefined: it is none. */
export function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function asFailure(error: unknown): Error {
  if (error instanceof ThawError || error instanceof DockerRefused) return error
  if (error instanceof GuestRefused) {
    return new ThawError('ENGINE_MISSING', 'There is no Docker engine in the machine that answers.', {
      cause: error,
      hint: '`thaw image build --docker` makes the image of a machine that has one.',
    })
  }
  const { message } = error as Error
  return new ThawError('ENGINE_FAILED', `The connection to Docker broke off (${message}).`, { cause: error })
}

function noStream(): ThawError {
  return new ThawError('ENGINE_FAILED', 'Docker gave no stream.')
}
