import { ERRORS, type ErrorEntry } from '@thaw/protocol/errors'
import { buildServer } from '../packages/thaw/src/api/server.js'
import type { ApiContext } from '../packages/thaw/src/api/context.js'

/** All files that are made from the sources: path in the clone, and content. */
export async function generatedFiles(): Promise<Record<string, string>> {
  const files: Record<string, string> = {
    'docs/openapi.json': await openApi(),
    'docs/errors/README.md': index(),
  }
  for (const [code, entry] of Object.entries(ERRORS)) files[`docs/errors/${code}.md`] = page(code, entry)
  return files
}

/** The document the daemon serves at /openapi.json. The routes are only described, never called. */
async function openApi(): Promise<string> {
  const server = await buildServer({} as ApiContext)
  try {
    await server.ready()
    return `${JSON.stringify(server.swagger(), null, 2)}\n`
  } finally {
    await server.close()
  }
}

function page(code: string, entry: ErrorEntry): string {
  return `# ${code}

${entry.when}

**What to do:** ${entry.hint}

| | |
|---|---|
| fault | ${entry.fault === 'user' ? "the caller's" : "the system's (thaw, kernel or disk)"} |
| exit code of the command line | ${entry.exit} |
| HTTP status of the API | ${entry.status} |

Generated from packages/protocol/src/errors.ts.
`
}

function index(): string {
  const rows = Object.entries(ERRORS).map(([code, entry]) => `| [${code}](${code}.md) | ${entry.when} |`)
  return `# Errors

Errors read \`thaw: CODE: what happened. What to do.\` The codes are a closed list; they are the same on the command line, in the API and in the SDK.

| code | when |
|---|---|
${rows.join('\n')}

Generated from packages/protocol/src/errors.ts.
`
}
