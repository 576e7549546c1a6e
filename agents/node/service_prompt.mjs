/** What whoever is attached to a call may type, in the words of `node inspect`. */

const HELP = `c, cont       go on
n, next       to the next line
s, step       into what is called
o, out        to the end of this function
bt, w         where it stands, and from where it was called
l, list       the lines around
u, d          up to the caller, down again
p EXPRESSION  its value; what is no command is taken for an expression
q             leave; the call waits for another, or for its time`
const STEPS = {
  c: 'Debugger.resume',
  cont: 'Debugger.resume',
  n: 'Debugger.stepOver',
  next: 'Debugger.stepOver',
  s: 'Debugger.stepInto',
  step: 'Debugger.stepInto',
  o: 'Debugger.stepOut',
  out: 'Debugger.stepOut',
}
const AROUND = 5

/** Of one stop. */
export class Prompt {
  static SIGN = 'debug> '
  #session
  #ask
  #frames
  #at = 0

  /** @param ask what the thread that stands there has to tell: a name and arguments */
  constructor(session, ask, frames) {
    this.#session = session
    this.#ask = ask
    this.#frames = frames
  }

  /** Where it stands. */
  async shown() {
    const { file, line, name } = this.#frame
    const [text = ''] = await this.#lines(line, line)
    return `${name} (${file}:${line})\n${text}`
  }

  /** @returns what is said; how it is to go on, where it is; whether whoever typed it leaves */
  async command(typed) {
    const text = typed.trim()
    const [, word = '', rest = ''] = /^(\S+)\s*([^]*)$/.exec(text) ?? []
    if (rest === '' && Object.hasOwn(STEPS, word)) return { said: '', step: STEPS[word] }
    if (rest === '' && ['q', 'quit', '.exit'].includes(word)) return { said: '', leave: true }
    return { said: await this.#answer(text, word, rest) }
  }

  async #answer(text, word, rest) {
    if (text === '') return ''
    if (['p', 'exec'].includes(word) && rest !== '') return await this.#evaluate(rest)
    if (rest !== '') return await this.#evaluate(text)
    switch (word) {
      case 'h':
      case 'help':
        return HELP
      case 'l':
      case 'list':
        return (await this.#lines(this.#frame.line - AROUND, this.#frame.line + AROUND)).join('\n')
      case 'w':
      case 'bt':
      case 'where':
        return this.#frames
          .map(({ name, file, line }, i) => `${i === this.#at ? '>' : ' '} ${name} (${file}:${line})`)
          .join('\n')
      case 'u':
      case 'up':
        return await this.#move(1)
      case 'd':
      case 'down':
        return await this.#move(-1)
      default:
        return await this.#evaluate(text)
    }
  }

  get #frame() {
    return this.#frames[this.#at]
  }

  async #move(by) {
    if (this.#frames[this.#at + by] === undefined) return 'There is none.'
    this.#at += by
    return await this.shown()
  }

  async #lines(from, to) {
    const { file, line } = this.#frame
    const all = await this.#ask('lines', file)
    const first = Math.max(1, from)
    return all
      .slice(first - 1, to)
      .map((one, i) => `${first + i === line ? '->' : '  '} ${String(first + i).padStart(4)}  ${one}`)
  }

  /** What it prints is shown as well. */
  async #evaluate(expression) {
    await this.#ask('collect')
    const { result, exceptionDetails } = await this.#session.post('Debugger.evaluateOnCallFrame', {
      callFrameId: this.#frame.id,
      expression,
    })
    const printed = await this.#ask('collected')
    if (exceptionDetails === undefined) return `${printed}${await this.#value(result)}`
    const { description, value } = exceptionDetails.exception ?? {}
    return `${printed}Uncaught ${description?.split('\n    at ')[0] ?? JSON.stringify(value)}`
  }

  async #value(value) {
    const { objectId, description, type } = value
    if (type === 'undefined') return 'undefined'
    if (objectId === undefined) return description ?? JSON.stringify(value.value)
    const { result } = await this.#session.post('Runtime.callFunctionOn', {
      functionDeclaration: 'function () { return globalThis.__thaw_service__.shown(this) }',
      objectId,
      returnByValue: true,
    })
    return result.value ?? description
  }
}
