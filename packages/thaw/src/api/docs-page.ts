/** The description of the API as one page: no script, nothing loaded. */
import { ERRORS } from '@thaw/protocol/errors'

interface Schema {
  $ref?: string
  type?: string | string[]
  enum?: unknown[]
  const?: unknown
  items?: Schema
  anyOf?: Schema[]
  oneOf?: Schema[]
  allOf?: Schema[]
  properties?: Record<string, Schema>
  required?: string[]
  description?: string
  default?: unknown
}

interface Content {
  description?: string
  content?: Record<string, { schema?: Schema }>
}

interface Operation {
  tags?: string[]
  summary?: string
  description?: string
  operationId?: string
  parameters?: { name: string; in: string; required?: boolean; description?: string; schema?: Schema }[]
  requestBody?: Content
  responses?: Record<string, Content>
  security?: Record<string, string[]>[]
}

interface Document {
  info: { title: string; version: string; description?: string }
  tags?: { name: string; description?: string }[]
  paths?: Record<string, Record<string, Operation>>
  components?: { schemas?: Record<string, Schema> }
}

const STYLE = `
:root { color-scheme: light dark; --line: #8884; --soft: #888; --accent: #0a6cc4 }
@media (prefers-color-scheme: dark) { :root { --accent: #6db3f2 } }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem }
code, pre { font: 13px/1.45 ui-monospace, monospace }
a { color: var(--accent) } h2 { margin-top: 2.5rem; border-bottom: 1px solid var(--line) }
details { border: 1px solid var(--line); border-radius: 6px; margin: .4rem 0; padding: .35rem .7rem }
summary { cursor: pointer } summary b { display: inline-block; min-width: 4.2rem; color: var(--accent) }
.about { color: var(--soft) } table { border-collapse: collapse; width: 100%; margin: .4rem 0 }
td, th { text-align: left; vertical-align: top; padding: .2rem .8rem .2rem 0; border-top: 1px solid var(--line) }
.scope { float: right; color: var(--soft); font-size: 13px } nav a { margin-right: 1rem }
`

export function docsPage(document: Document): string {
  const operations = Object.entries(document.paths ?? {}).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
  )
  const sections = (document.tags ?? []).map(({ name, description }) => {
    const mine = operations.filter(({ operation }) => operation.tags?.includes(name))
    return `<h2 id="${escape(name)}">${escape(name)}</h2><p class="about">${prose(description)}</p>${mine
      .map(({ path, method, operation }) => describe(path, method, operation))
      .join('')}`
  })
  const schemas = Object.entries(document.components?.schemas ?? {}).map(
    ([name, schema]) =>
      `<details id="schema-${escape(name)}"><summary><code>${escape(name)}</code> <span class="about">${prose(schema.description)}</span></summary>${shape(schema)}</details>`,
  )
  const errors = Object.entries(ERRORS).map(
    ([code, { status, when, hint }]) =>
      `<tr id="${code}"><td><code>${code}</code></td><td>${status}</td><td>${prose(when)} <span class="about">${prose(hint)}</span></td></tr>`,
  )
  const { title, version, description } = document.info
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>${escape(title)} API</title><style>${STYLE}</style></head><body>
<h1>${escape(title)} ${escape(version)}</h1><p>${prose(description)}</p>
<nav>${(document.tags ?? []).map(({ name }) => `<a href="#${escape(name)}">${escape(name)}</a>`).join('')}
<a href="#schemas">schemas</a><a href="#errors">errors</a><a href="/openapi.json">openapi.json</a></nav>
${sections.join('\n')}
<h2 id="schemas">schemas</h2>${schemas.join('\n')}
<h2 id="errors">errors</h2><table><tr><th>code</th><th>status</th><th>when, and what to do</th></tr>${errors.join('\n')}</table>
</body></html>
`
}

function describe(path: string, method: string, operation: Operation): string {
  const { summary, description, operationId, parameters = [], requestBody, responses = {} } = operation
  const scope = operation.security?.[0]?.['token']?.[0] ?? 'public'
  const rows = parameters.map(
    ({ name, in: where, required, schema, description: about }) =>
      `<tr><td><code>${escape(name)}</code>${required === true ? ' *' : ''}</td><td>${escape(where)}</td><td>${typeOf(schema)}</td><td>${prose(about ?? schema?.description)}</td></tr>`,
  )
  return `<details id="${escape(operationId ?? '')}"><summary><span class="scope">${escape(scope)}</span><b>${method.toUpperCase()}</b><code>${escape(path)}</code> <span class="about">${prose(summary)}</span></summary>
${description === undefined ? '' : `<p>${prose(description)}</p>`}${rows.length === 0 ? '' : `<table>${rows.join('')}</table>`}
${requestBody === undefined ? '' : `<h4>Body</h4>${contents(requestBody)}`}${Object.entries(responses)
    .map(([status, answer]) => `<h4>${escape(status)}</h4>${contents(answer)}`)
    .join('')}</details>`
}

function contents({ description, content = {} }: Content): string {
  const about =
    description === undefined || description === 'Default Response' ? '' : `<p>${prose(description)}</p>`
  return (
    about +
    Object.entries(content)
      .map(([type, { schema }]) => `<div class="about"><code>${escape(type)}</code></div>${shape(schema)}`)
      .join('')
  )
}

function shape(schema: Schema | undefined): string {
  if (schema?.properties === undefined) return `<p>${typeOf(schema)}</p>`
  const rows = Object.entries(schema.properties).map(([name, one]) => {
    const star = schema.required?.includes(name) === true ? ' *' : ''
    const usual =
      one.default === undefined
        ? ''
        : ` <span class="about">default ${escape(JSON.stringify(one.default))}</span>`
    return `<tr><td><code>${escape(name)}</code>${star}</td><td>${typeOf(one)}${usual}</td><td>${prose(one.description)}</td></tr>`
  })
  return `<table>${rows.join('')}</table>`
}

/** A type in words, with a link to what has a name. */
function typeOf(schema: Schema | undefined): string {
  if (schema === undefined) return ''
  if (schema.$ref !== undefined) {
    const name = escape(schema.$ref.slice(schema.$ref.lastIndexOf('/') + 1))
    return `<a href="#schema-${name}">${name}</a>`
  }
  if (schema.enum !== undefined)
    return schema.enum.map((one) => `<code>${escape(JSON.stringify(one))}</code>`).join(' | ')
  if (schema.const !== undefined) return `<code>${escape(JSON.stringify(schema.const))}</code>`
  const some = schema.anyOf ?? schema.oneOf ?? schema.allOf
  if (some !== undefined) return some.map(typeOf).join(' | ')
  if (schema.type === 'array') return `array of ${typeOf(schema.items)}`
  if (schema.properties !== undefined) {
    return `{ ${Object.entries(schema.properties)
      .map(([name, one]) => `${escape(name)}: ${typeOf(one)}`)
      .join(', ')} }`
  }
  return escape([schema.type ?? 'anything'].flat().join(' | '))
}

const ENTITIES: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' }

function escape(text: string): string {
  return text.replace(/[&<>"]/g, (char) => ENTITIES[char] as string)
}

/** Escaped, with what stands in backquotes as code. */
function prose(text = ''): string {
  return escape(text).replace(/`([^`]+)`/g, '<code>$1</code>')
}
