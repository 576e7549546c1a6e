import { Agent, request } from 'node:http'

/** One client: a connection that is kept, one call at a time. */
export class Caller {
  #agent = new Agent({ keepAlive: true, maxSockets: 1 })
  #socket
  #path
  #disturbances

  constructor(socket, name, disturbances) {
    this.#socket = socket
    this.#path = `/v1/services/${name}/call/`
    this.#disturbances = disturbances
  }

  close() {
    this.#agent.destroy()
  }

  /** What came of it: `result` and `version`, or `code`; `expected` names what may. */
  async call(kind, random) {
    const answers =
      (...expected) =>
      (got) => ({ ...got, expected })
    const same = (wanted) => (got) => ({
      ...got,
      expected: ['answered'],
      wrong: got.code === undefined && JSON.stringify(got.result) !== JSON.stringify(wanted),
    })
    switch (kind) {
      case 'echo': {
        const sent = [random.next(), 'x'.repeat(random.below(60_000)), { a: [null, true] }]
        const { code, message, version, wrong, expected } = same(sent)(await this.#post('echo', sent))
        return { code, message, version, wrong, expected }
      }
      case 'nap':
      case 'later': {
        const seconds = random.below(60) / 1000
        return same(seconds)(await this.#post(kind, [seconds]))
      }
      case 'prints': {
        const lines = random.below(200)
        return same(lines)(await this.#post('prints', [lines], { accept: 'text/event-stream', lines }))
      }
      case 'raises':
        return answers('CALL_RAISED')(await this.#post('raises', [1]))
      case 'misfit':
        return answers('ARGUMENTS_REFUSED')(await this.#post('nap', [1, 2]))
      case 'unknown':
        return answers('FUNCTION_NOT_FOUND')(await this.#post('nothing', []))
      case 'strange':
        return answers('RESULT_REFUSED')(await this.#post('strange', []))
      case 'alone': {
        const got = await this.#post('bump?isolation=call', [])
        return { ...got, expected: ['answered'], wrong: got.code === undefined && got.result[1] !== 1 }
      }
      case 'cancelled': {
        const fn = ['nap', 'later', 'spin', 'prints'][random.below(4)]
        const input = fn === 'spin' ? [] : [fn === 'prints' ? 1e6 : 5]
        return answers('gone')(
          await this.#post(fn, input, {
            leave: random.below(80),
            accept: fn === 'prints' ? 'text/event-stream' : undefined,
          }),
        )
      }
      case 'deadline': {
        const [fn, input] = random.below(2) === 0 ? ['spin', []] : ['later', [5]]
        return answers('CALL_TIMEOUT')(await this.#post(`${fn}?timeout=0.05`, input))
      }
      case 'exits':
      case 'killed':
        return answers('WORKER_CRASHED')(await this.#disturbances.during(() => this.#post(kind, [])))
      default:
        return answers('answered')(await this.#post(kind, []))
    }
  }

  #post(fn, input, { accept = '*/*', leave, lines } = {}) {
    return new Promise((resolve, reject) => {
      const body = JSON.stringify(input)
      const headers = {
        'content-type': 'application/json',
        'content-length': Buffer.byteLength(body),
        accept,
      }
      const asked = request({
        agent: this.#agent,
        socketPath: this.#socket,
        method: 'POST',
        path: this.#path + fn,
        headers,
      })
      let timer
      let left = false
      asked.on('response', (answer) => {
        let all = ''
        answer.setEncoding('utf8')
        answer.on('data', (chunk) => {
          // Of what prints without end nobody keeps all.
          if (leave === undefined || all.length < 1e5) all += chunk
        })
        answer.on('error', () => {})
        answer.on('close', () => {
          clearTimeout(timer)
          if (left) return resolve({ code: 'gone' })
          resolve(accept === 'text/event-stream' ? streamed(all, lines) : parsed(all))
        })
      })
      asked.on('error', (error) => {
        clearTimeout(timer)
        if (left) resolve({ code: 'gone' })
        else if (error.code === 'ECONNRESET' && asked.reusedSocket)
          resolve(this.#post(fn, input, { accept, leave, lines }))
        else reject(error)
      })
      if (leave !== undefined) {
        timer = setTimeout(() => {
          left = true
          asked.destroy()
        }, leave)
      }
      asked.end(body)
    })
  }
}

function parsed(text) {
  try {
    return JSON.parse(text)
  } catch {
    return { code: 'BROKEN', text: text.slice(0, 200) }
  }
}

/** The last event; with `lines`, all that many lines have to have come before. */
function streamed(text, lines) {
  const events = text.split('\n\n').filter((one) => one.startsWith('event: '))
  const [, name, data] = /^event: (\w+)\ndata: (.*)$/.exec(events.at(-1) ?? '') ?? []
  if (name === undefined) return { code: 'BROKEN' }
  if (name === 'error') return JSON.parse(data)
  const printed = events
    .slice(0, -1)
    .map((one) => JSON.parse(one.split('\ndata: ')[1]).text)
    .join('')
  const whole = Array.from({ length: lines }, (_, i) => `line ${i}\n`).join('')
  return printed === whole ? JSON.parse(data) : { code: 'OUTPUT_LOST', printed: printed.slice(-100) }
}
