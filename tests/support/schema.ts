import fc from 'fast-check'

/** As much of JSON Schema as the surfaces of thaw use. */
export interface Schema {
  $ref?: string
  type?: string | string[]
  enum?: unknown[]
  const?: unknown
  items?: Schema
  anyOf?: Schema[]
  properties?: Record<string, Schema>
  required?: string[]
  additionalProperties?: Schema | boolean
  minimum?: number
  maximum?: number
}

const AWAY = [
  '..',
  '../../etc/passwd',
  '%2e%2e%2f',
  '..%2f..%2fetc',
  '/etc/passwd',
  '.',
  '',
  '\0',
  'r_',
  'c_%00',
  '💥',
  "' OR 1=1 --",
]

/** Text of any kind, what could lead away from where it belongs among it. */
export const anyText = () =>
  fc.oneof(
    fc.constantFrom(...AWAY),
    fc.string({ unit: 'binary', maxLength: 30 }),
    fc.string({ maxLength: 300 }),
  )
const anything = () => fc.oneof(anyText(), fc.jsonValue({ maxDepth: 2 }) as fc.Arbitrary<unknown>)

/** Values for schemas: mostly such as fit, some that do not. */
export class Arbitraries {
  readonly #schemas: Record<string, Schema>
  readonly #ids: readonly string[]

  /** @param schemas those that have names @param ids of things that exist */
  constructor(schemas: Record<string, Schema>, ids: readonly string[]) {
    this.#schemas = schemas
    this.#ids = ids
  }

  valueOf(schema: Schema, depth = 0): fc.Arbitrary<unknown> {
    const name = schema.$ref?.split('/').at(-1)
    if (name !== undefined) return this.valueOf(this.#schemas[name] as Schema, depth)
    const fitting = this.#fitting(schema, depth)
    return fc.oneof({ weight: 9, arbitrary: fitting }, { weight: 1, arbitrary: anything() })
  }

  #fitting(schema: Schema, depth: number): fc.Arbitrary<unknown> {
    const below = (one: Schema) => this.valueOf(one, depth + 1)
    if (schema.const !== undefined) return fc.constant(schema.const)
    if (schema.enum !== undefined) return fc.constantFrom(...schema.enum)
    if (schema.anyOf !== undefined) return fc.oneof(...schema.anyOf.map(below))
    switch (Array.isArray(schema.type) ? schema.type[0] : schema.type) {
      case 'string':
        return fc.oneof(anyText(), fc.constantFrom(...this.#ids))
      case 'integer':
        return fc.oneof(
          fc.integer({ min: schema.minimum ?? -10, max: Math.min(schema.maximum ?? 1000, 1000) }),
          fc.constantFrom(-1, 2 ** 53, 1e300),
        )
      case 'number':
        return fc.double({ noNaN: true, noDefaultInfinity: true })
      case 'boolean':
        return fc.boolean()
      case 'null':
        return fc.constant(null)
      case 'array':
        return fc.array(below(schema.items ?? {}), { maxLength: 4 })
      case 'object': {
        if (schema.properties === undefined) return fc.dictionary(anyText(), anyText(), { maxKeys: 3 })
        const shape = Object.entries(schema.properties).map(([name, one]) => [
          name,
          // More processes than a machine of others should bear.
          name === 'count' ? fc.constantFrom(0, 1, 2, 3, 257, 'x') : below(one),
        ])
        return fc.record(Object.fromEntries(shape), {
          requiredKeys: (depth < 3 ? (schema.required ?? []) : []) as never[],
        })
      }
      default:
        return anything()
    }
  }
}
