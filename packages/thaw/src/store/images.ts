import type { Image } from '@thaw/protocol'
import type { Database, Row } from './database.js'

/** Images, by the name that they are found by. */
export class ImageTable {
  readonly #db: Database

  constructor(db: Database) {
    this.#db = db
  }

  /** Prerequisite: no image has this name. */
  record(image: Image): void {
    this.#db.run('INSERT INTO images (id, name, data, created_at) VALUES (?, ?, ?, ?)', [
      image.id,
      image.name,
      JSON.stringify(image),
      Date.parse(image.created_at),
    ])
  }

  /** Newest first. */
  list(): Image[] {
    return this.#db.all('SELECT data FROM images ORDER BY created_at DESC, id').map(toImage)
  }

  named(name: string): Image | undefined {
    const row = this.#db.get('SELECT data FROM images WHERE name = ?', [name])
    return row === undefined ? undefined : toImage(row)
  }

  forget(id: string): void {
    this.#db.run('DELETE FROM images WHERE id = ?', [id])
  }
}

function toImage(row: Row): Image {
  return JSON.parse(String(row['data'])) as Image
}
