/** Images and instances of one daemon. */
import { join } from 'node:path'
import type { Image } from '@thaw/protocol'
import { CriuProvider } from '../engines/process/criu/provide.js'
import { ProcessEngine } from '../engines/process/process.js'
import type { Journal } from '../store/index.js'
import { ThawError, type Log, type Paths } from '../system/index.js'
import { Images } from './images/images.js'
import { Instances } from './instances/instances.js'

export class Snapshots implements AsyncDisposable {
  readonly images: Images
  readonly instances: Instances

  constructor({ journal, paths, log }: { journal: Journal; paths: Paths; log: Log }) {
    const engine = new ProcessEngine(new CriuProvider(paths.cache), (what) => log.info(what))
    this.images = new Images(journal, join(paths.state, 'images'), log)
    const directory = join(paths.state, 'instances')
    this.instances = new Instances({ journal, images: this.images, engine, directory, log })
  }

  /** @throws ThawError IMAGE_NOT_FOUND, HAS_DEPENDENTS while instances or their checkpoints need it */
  removeImage(given: string): Image {
    const image = this.images.get(given)
    const users = this.instances.usersOfImage(image)
    if (users.length > 0) {
      throw new ThawError('HAS_DEPENDENTS', `${image.name} is needed for ${users.join(', ')}.`, {
        hint: 'Remove that first (`thaw instance rm`).',
      })
    }
    this.images.remove(image)
    return image
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.instances[Symbol.asyncDispose]()
  }
}
