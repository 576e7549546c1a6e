/** Packs, unpacks, removes and collects; is killed at a change of the file system that its last argument numbers. */
import { join } from 'node:path'
import { ProcessImage } from '../../packages/thaw/src/engines/process/image.js'
import {
  collectPages,
  listImages,
  packImage,
  unpackImage,
} from '../../packages/thaw/src/engines/process/packing.js'
import { PageStore } from '../../packages/thaw/src/store/pages.js'
import { loadZstd } from '../../packages/thaw/src/store/zstd.js'
import { atChange } from '../support/faults.js'

const [runs = '', pages = '', at = ''] = process.argv.slice(2)
await loadZstd()
const image = (name: string) => join(runs, 'r_1', 'images', name)
const count = atChange(Number(at), () => {
  process.kill(process.pid, 'SIGKILL')
  throw new Error('still alive')
})
using store = new PageStore(pages)
for (const name of ['a', 'b', 'c']) await packImage(image(name), store, () => true)
await unpackImage(image('a'), store)
await ProcessImage.open(image('b')).remove()
await ProcessImage.open(image('c')).remove()
console.log(JSON.stringify(collectPages(listImages(runs), store)))
await packImage(image('a'), store, () => true)
await unpackImage(image('a'), store)
console.log(`changes ${count()}`)
