'use strict'

// The session stores that Express and axum share, made from the variable STORE: `{ "kind": …, … }`.

const path = require('node:path')
const session = require('express-session')

/** Seconds a session without a max-age lives: the same in every store, and on the other side. */
const TTL = 24 * 60 * 60

const makers = {
  file: ({ folder }) => {
    const FileStore = require('session-file-store')(session)
    return new FileStore({ path: folder, ttl: TTL, logFn: () => {} })
  },

  redis: async ({ url }) => {
    const { RedisStore } = require('connect-redis')
    const client = require('redis').createClient({ url })
    client.on('error', (error) => console.error(error))
    await client.connect()
    return new RedisStore({ client, ttl: TTL })
  },

  postgres: async ({ url }) => {
    const PostgresStore = require('connect-pg-simple')(session)
    const store = new PostgresStore({ conString: url, createTableIfMissing: true, ttl: TTL })
    // Its first query makes the table.
    await new Promise((resolve, reject) => store.pruneSessions((error) => (error ? reject(error) : resolve())))
    return store
  },

  mysql: async ({ host, port, user, password, database }) => {
    const MySqlStore = require('express-mysql-session')(session)
    const store = new MySqlStore({ host, port, user, password, database, expiration: TTL * 1000 })
    await store.onReady()
    return store
  },

  sqlite: async ({ file }) => {
    const SqliteStore = require('connect-sqlite3')(session)
    const store = new SqliteStore({ dir: path.dirname(file), db: path.basename(file), concurrentDb: true })
    await new Promise((resolve) => store.client.once('connect', resolve))
    // Else a read that is still open on its one connection makes a write fail at once, with SQLITE_BUSY, whenever another
    // process has written in between.
    store.db.serialize()
    return store
  }
}

module.exports = async (place) => makers[place.kind](place)
