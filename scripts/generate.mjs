// `npm run generate`: writes the files that are made from the sources; with --check, says which are out of date.
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { bundle, install, root } from './workspace.mjs'

install()
mkdirSync(join(root, 'node_modules', '.cache'), { recursive: true })
const temp = mkdtempSync(join(root, 'node_modules', '.cache', 'thaw-generate-'))
let files
try {
  const outfile = join(temp, 'generate.mjs')
  await bundle('scripts/generated-files.ts', outfile)
  files = await (await import(outfile)).generatedFiles()
} finally {
  rmSync(temp, { recursive: true })
}

const checking = process.argv.includes('--check')
const wrong = Object.entries(files).filter(([path, text]) => {
  const file = join(root, path)
  return !existsSync(file) || readFileSync(file, 'utf8') !== text
})
const pages = join(root, 'docs', 'errors')
const stray = (existsSync(pages) ? readdirSync(pages) : [])
  .map((name) => `docs/errors/${name}`)
  .filter((path) => !(path in files))
if (checking) {
  for (const [path] of wrong) console.error(`${path} is out of date`)
  for (const path of stray) console.error(`${path} belongs to no error`)
  if (wrong.length + stray.length > 0) {
    console.error('Run `npm run generate`.')
    process.exit(1)
  }
} else {
  for (const [path, text] of wrong) {
    mkdirSync(dirname(join(root, path)), { recursive: true })
    writeFileSync(join(root, path), text)
    console.log(`wrote ${path}`)
  }
  for (const path of stray) rmSync(join(root, path))
}
