import { Scope, type Token } from '@thaw/protocol'
import { ThawError } from '@thaw/protocol/errors'
import { askSameBuild } from '../client.js'
import { print } from '../print.js'
import { table } from '../render/table.js'

export async function create(options: {
  scope: string
  name: string
  expires?: string
  json?: boolean
}): Promise<number> {
  const scope = Scope.safeParse(options.scope)
  if (!scope.success) throw new ThawError('USAGE', `--scope is read, run or admin; not ${options.scope}.`)
  const request = { name: options.name, scope: scope.data, expires_in: options.expires ?? null }
  const made = await askSameBuild((client) => client.tokens.create(request))
  await print(made, options.json, () => `${made.token}\n`)
  return 0
}

export async function ls(options: { json?: boolean }): Promise<number> {
  await print(await askSameBuild((client) => client.tokens.list()), options.json, render)
  return 0
}

export async function rm(id: string, options: { json?: boolean }): Promise<number> {
  await askSameBuild((client) => client.tokens.remove(id))
  await print({ removed: [id] }, options.json, () => `Removed ${id}.\n`)
  return 0
}

function render(tokens: readonly Token[]): string {
  if (tokens.length === 0) return 'There are no tokens.\n'
  const rows = tokens.map(({ id, scope, created_at, expires_at, name }) => {
    return [id, scope, created_at.slice(0, 16), expires_at?.slice(0, 16) ?? 'never', name]
  })
  return table(['id', 'scope', 'made', 'ends', 'name'], rows)
}
