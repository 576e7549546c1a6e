/** Models behind endpoints: a local server that speaks the two wire formats. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { RepairReport } from '@thaw/protocol'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { Home } from '../support/home.js'
import { Project } from '../support/project.js'

const FAULTY = 'def half(n):\n    return n / 0\n\nprint(half(4))\n'
const ANSWER =
  'The divisor is wrong.\n\n```diff\n--- a/job.py\n+++ b/job.py\n@@ -1,2 +1,2 @@\n def half(n):\n-    return n / 0\n+    return n / 2\n```\n'
const KEY = 'sk-test-0123456789abcdef'

interface Asked {
  path: string
  headers: IncomingMessage['headers']
  body: Record<string, unknown>
}
type Reply = (response: ServerResponse) => void

let home: Home
let server: Server
let asked: Asked[]
let replies: Reply[]

beforeAll(async () => {
  home = new Home()
  for (const name of Object.keys(home.env)) if (/^(OPENAI|ANTHROPIC)_/.test(name)) delete home.env[name]
  server = createServer((request, response) => {
    let text = ''
    request.on('data', (chunk: Buffer) => (text += chunk.toString()))
    request.on('end', () => {
      asked.push({
        path: request.url ?? '',
        headers: request.headers,
        body: JSON.parse(text) as Record<string, unknown>,
      })
      const reply = replies.length > 1 ? replies.shift() : replies[0]
      reply?.(response)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
})
beforeEach(() => {
  asked = []
})
afterAll(async () => {
  await home[Symbol.asyncDispose]()
  server.closeAllConnections()
  await new Promise((resolve) => server.close(resolve))
})

const url = () => `http://127.0.0.1:${(server.address() as AddressInfo).port}`

/** In pieces that end anywhere, as networks do. */
function stream(text: string): Reply {
  return (response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    const size = 17
    const send = (at: number) => {
      if (at >= text.length) return void response.end()
      response.write(text.slice(at, at + size))
      setImmediate(() => send(at + size))
    }
    send(0)
  }
}

function openai(answer: string, finish = 'stop'): Reply {
  const chunk = (delta: unknown, reason: string | null = null) =>
    `data: ${JSON.stringify({
      id: 'chatcmpl-1',
      object: 'chat.completion.chunk',
      created: 1,
      model: 'm',
      choices: [{ index: 0, delta, logprobs: null, finish_reason: reason }],
      usage: null,
    })}\n\n`
  const words = answer.match(/[\s\S]{1,9}/g) ?? []
  const usage = { prompt_tokens: 1000, completion_tokens: 200, total_tokens: 1200 }
  return stream(
    chunk({ role: 'assistant', content: '' }) +
      words.map((content) => chunk({ content })).join('') +
      chunk({}, finish) +
      `data: ${JSON.stringify({ id: 'chatcmpl-1', object: 'chat.completion.chunk', choices: [], usage })}\n\n` +
      'data: [DONE]\n\n',
  )
}

function anthropic(answer: string): Reply {
  const event = (type: string, rest: object) =>
    `event: ${type}\ndata: ${JSON.stringify({ type, ...rest })}\n\n`
  const words = answer.match(/[\s\S]{1,9}/g) ?? []
  return stream(
    event('message_start', {
      message: {
        id: 'msg_1',
        type: 'message',
        role: 'assistant',
        content: [],
        usage: { input_tokens: 900, output_tokens: 1 },
      },
    }) +
      event('content_block_start', { index: 0, content_block: { type: 'text', text: '' } }) +
      event('ping', {}) +
      words
        .map((text) => event('content_block_delta', { index: 0, delta: { type: 'text_delta', text } }))
        .join('') +
      event('content_block_stop', { index: 0 }) +
      event('message_delta', {
        delta: { stop_reason: 'end_turn', stop_sequence: null },
        usage: { output_tokens: 150 },
      }) +
      event('message_stop', {}),
  )
}

const status =
  (code: number, headers: Record<string, string> = {}): Reply =>
  (response) => {
    response.writeHead(code, { 'content-type': 'application/json', ...headers })
    response.end(JSON.stringify({ error: { type: 'x', message: `no: ${code} ${KEY}` } }))
  }

async function repair(name: string, options: string[], env: Record<string, string>) {
  const project = new Project(home, name)
  project.write('job.py', FAULTY)
  project.write('thaw.toml', '')
  const file = join(home.directory, `${name}.json`)
  const done = await home.run(['repair', '--report', file, '--rounds', '1', ...options, 'job.py'], {
    cwd: project.directory,
    env,
  })
  const report = (existsSync(file) ? JSON.parse(readFileSync(file, 'utf8') || '{}') : {}) as RepairReport
  return { ...done, report, text: project.read('job.py') }
}

describe('models', () => {
  it('an OpenAI-compatible endpoint repairs: key, model, streaming, cost', async () => {
    replies = [openai(ANSWER)]
    const options = ['--openai', '--model', 'small', '--url', `${url()}/v1`, '--prices', '2,10']
    const done = await repair('openai', options, { OPENAI_API_KEY: KEY })
    expect(done, done.stderr).toMatchObject({ code: 0, stdout: '2.0\n' })
    expect(done.report).toMatchObject({
      outcome: 'repaired',
      tokens: { read: 1000, written: 200 },
      dollars: 0.004,
    })
    expect(asked).toHaveLength(1)
    expect(asked[0]).toMatchObject({
      path: '/v1/chat/completions',
      headers: { authorization: `Bearer ${KEY}` },
    })
    expect(asked[0]?.body).toMatchObject({ model: 'small', stream: true })
    const question = JSON.stringify(asked[0]?.body)
    expect(question).toContain('ZeroDivisionError')
    expect(question).not.toContain(KEY)
  })

  it("Anthropic's repairs, found by its key alone", async () => {
    replies = [anthropic(ANSWER)]
    const env = { ANTHROPIC_API_KEY: KEY, ANTHROPIC_BASE_URL: url(), ANTHROPIC_MODEL: 'medium' }
    const done = await repair('anthropic', [], env)
    expect(done, done.stderr).toMatchObject({ code: 0, stdout: '2.0\n' })
    expect(done.report.tokens).toEqual({ read: 900, written: 150 })
    expect(asked[0]).toMatchObject({ path: '/v1/messages', headers: { 'x-api-key': KEY } })
    expect(asked[0]?.headers['anthropic-version']).toMatch(/^\d{4}-/)
    expect(asked[0]?.body).toMatchObject({ model: 'medium', stream: true })
    expect(asked[0]?.body['max_tokens']).toBeGreaterThan(0)
  })

  it('asks again where that may help, and says what it is told where it does not', async () => {
    const broken = stream(
      'data: {"choices":[{"index":0,"delta":{"content":"--- a/j"},"finish_reason":null}]}\n\n',
    )
    replies = [status(429, { 'retry-after': '0' }), status(503), broken, openai(ANSWER)]
    const again = await repair('again', ['--openai', '--url', url()], { OPENAI_API_KEY: KEY })
    expect(again, again.stderr).toMatchObject({ code: 0 })
    expect(asked).toHaveLength(4)
    asked = []
    replies = [status(401)]
    const refused = await repair('refused', ['--openai', '--url', url()], { OPENAI_API_KEY: KEY })
    expect(refused).toMatchObject({ code: 1, text: FAULTY })
    expect(refused.stderr).toMatch(/answers 401: no: 401 <masked>/)
    expect(refused.stderr).not.toContain(KEY)
    expect(asked).toHaveLength(1)
  })

  it('keeps to its bounds: length, tokens, cost, time', async () => {
    replies = [openai(ANSWER.slice(0, 40), 'length')]
    const cut = await repair('cut', ['--openai', '--url', url()], { OPENAI_API_KEY: KEY })
    expect(cut.report.tried[0]?.detail).toMatch(/cut off/)
    asked = []
    const few = await repair('few', ['--openai', '--url', url(), '--max-tokens', '10'], {
      OPENAI_API_KEY: KEY,
    })
    expect(few.stderr).toMatch(/would exceed 10 tokens/)
    expect(asked).toHaveLength(0)
    replies = [openai('I do not know.\n')]
    const money = ['--openai', '--url', url(), '--rounds', '5', '--max-cost', '0.007', '--prices', '2,10']
    const dear = await repair('dear', money, { OPENAI_API_KEY: KEY })
    expect(asked).toHaveLength(2)
    expect(dear.stderr).toMatch(/has cost 0\.0080 of 0\.007 dollars/)
    replies = [
      (response) => void response.writeHead(200, { 'content-type': 'text/event-stream' }).write(': wait\n\n'),
    ]
    const slow = await repair('slow', ['--openai', '--url', url(), '--answer-time', '1s'], {
      OPENAI_API_KEY: KEY,
    })
    expect(slow.report.tried[0]?.detail).toMatch(/took more than 1 s/)
    expect([cut, few, dear, slow].map(({ text }) => text)).toEqual([FAULTY, FAULTY, FAULTY, FAULTY])
  }, 90_000)

  it('says what is missing: the key, the network', async () => {
    const key = await repair('no-key', ['--anthropic'], {})
    expect(key.stderr).toMatch(/ANTHROPIC_API_KEY is not set/)
    const gone = createServer()
    await new Promise<void>((resolve) => gone.listen(0, '127.0.0.1', resolve))
    const { port } = gone.address() as AddressInfo
    await new Promise((resolve) => gone.close(resolve))
    const options = ['--openai', '--url', `http://127.0.0.1:${port}/v1`]
    const network = await repair('no-network', options, { OPENAI_API_KEY: KEY })
    expect(network.stderr).toMatch(/127\.0\.0\.1:\d+ cannot be reached \(ECONNREFUSED\)/)
    expect(network.text).toBe(FAULTY)
  })
})
