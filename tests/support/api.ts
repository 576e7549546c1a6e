import { request as httpRequest } from 'node:http'
import type { Home } from './home.js'

export interface Answer {
  status: number
  headers: Record<string, string | string[] | undefined>
  text: string
  /** The body as JSON; undefined when it is none. */
  json: any // oxlint-disable-line typescript/no-explicit-any
}

export interface Call {
  headers?: Record<string, string>
  /** An object is sent as JSON, a string as it is. */
  body?: unknown
}

/** The daemon of a home, as others reach it over TCP. */
export class Api {
  readonly home: Home
  readonly port: number
  /** Sent with every call, unless that has an Authorization of its own. */
  token: string | null = null

  private constructor(home: Home, port: number) {
    this.home = home
    this.port = port
  }

  /** Starts the daemon with a listener on a free port, and makes a token for it. */
  static async start(home: Home, how: { tokens?: boolean; scope?: string } = {}): Promise<Api> {
    const open = how.tokens === false ? ['--no-token'] : []
    const { tcp } = await home.json<{ tcp: { port: number } }>([
      'daemon',
      'start',
      '--tcp',
      '127.0.0.1:0',
      ...open,
    ])
    const api = new Api(home, tcp.port)
    if (how.tokens !== false) api.token = (await api.newToken(how.scope ?? 'run')).token
    return api
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`
  }

  newToken(scope: string, more: string[] = []): Promise<{ id: string; token: string }> {
    return this.home.json(['daemon', 'token', 'create', '--scope', scope, '--name', scope, ...more])
  }

  /** @param path as it is to stand in the request, dots and all */
  call(method: string, path: string, { headers = {}, body }: Call = {}): Promise<Answer> {
    const text = body === undefined || typeof body === 'string' ? body : JSON.stringify(body)
    const all: Record<string, string | number> = {
      ...(this.token === null ? {} : { authorization: `Bearer ${this.token}` }),
      ...(text === undefined
        ? {}
        : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }),
      ...headers,
    }
    return new Promise((resolve, reject) => {
      const options = {
        host: '127.0.0.1',
        port: this.port,
        method,
        path,
        headers: all,
        agent: false as const,
      }
      const request = httpRequest(options, (answer) => {
        const parts: Buffer[] = []
        answer.on('data', (part: Buffer) => parts.push(part))
        answer.on('error', reject)
        answer.on('end', () => {
          const whole = Buffer.concat(parts).toString('utf8')
          resolve({
            status: answer.statusCode ?? 0,
            headers: answer.headers,
            text: whole,
            json: parsed(whole),
          })
        })
      })
      request.on('error', reject)
      request.end(text)
    })
  }

  get(path: string, call: Call = {}): Promise<Answer> {
    return this.call('GET', path, call)
  }

  post(path: string, body: unknown = {}, headers: Record<string, string> = {}): Promise<Answer> {
    return this.call('POST', path, { body, headers })
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
