/** Secrets do not leave the machine with a bundle: by the name of what holds them, by their form, by the environment. */
const NAMED =
  /pass(word|wd|phrase)?$|secret|token|api_?key|access_?key|private_?key|credential|authorization|cookie|session_?id/i
/** Names that only look so. */
const HARMLESS = /^(tokens|n_tokens|num_tokens|max_tokens|token_count|tokenizer|compass|bypass)$/i
const FORMS =
  /\b(sk-[\w-]{16,}|AKIA[0-9A-Z]{16}|gh[pousr]_\w{20,}|xox[abprs]-[\w-]{10,}|eyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]+|AIza[\w-]{30,})/g
const BLOCKS = /-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(-----END [A-Z ]*PRIVATE KEY-----|$)/g
/** `password = 'x'`, `"api_key": "x"`, within the text of a value. */
const PAIRS =
  /((?:['"]?)[\w-]*(?:password|passwd|secret|api_?key|access_?key|private_?key|auth_?token|access_?token)[\w-]*['"]?\s*[:=]\s*)(['"])(?:\\.|(?!\2).)*\2/gi
/** Shorter values would mask ordinary words. */
const LEAST = 6
const MASK = '<masked>'

export function isSecretName(name: string): boolean {
  return NAMED.test(name) && !HARMLESS.test(name)
}

export class Mask {
  readonly #values: string[]

  /** @param env values of its secrets are masked wherever they stand */
  constructor(env: Record<string, string>) {
    const secret = Object.entries(env).flatMap(([name, value]) =>
      isSecretName(name) && value.length >= LEAST ? [value] : [],
    )
    // A longer one may hold a shorter one.
    this.#values = [...new Set(secret)].toSorted((a, b) => b.length - a.length)
  }

  text(text: string): string {
    let masked = text.replace(BLOCKS, MASK).replace(FORMS, MASK)
    for (const value of this.#values) masked = masked.replaceAll(value, MASK)
    return masked
  }

  /** A line of source, or a value that may hold names with their values. */
  line(text: string): string {
    return this.text(text).replace(PAIRS, `$1${MASK}`)
  }

  /** A variable's value, as text. */
  value(name: string, text: string): string {
    return isSecretName(name) && text !== 'None' ? MASK : this.line(text)
  }
}
