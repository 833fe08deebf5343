'use strict'

// A login and a shopping basket: the Express application that axum joins. SECRET, SESSIONS (a folder) and OTHER (where the
// axum half is) come from the environment.

const fs = require('node:fs')
const path = require('node:path')
const express = require('express')
const flash = require('connect-flash')
const session = require('express-session')
const FileStore = require('session-file-store')(session)

const { PORT = '3001', SECRET, SESSIONS, OTHER = '' } = process.env
const HOUR = 60 * 60

const app = express()
app.use(express.urlencoded())
app.use(session({
  secret: SECRET,
  store: new FileStore({ path: SESSIONS, ttl: HOUR, logFn: () => {} }),
  resave: false,
  saveUninitialized: false,
  cookie: { maxAge: HOUR * 1000, sameSite: 'lax' }
}))
app.use(flash())

app.get('/', (req, res) => {
  const { user, basket = [] } = req.session
  const notices = req.session.flash ? req.flash('notice') : []
  res.send(page(notices, user ? basketOf(user, basket) : loginForm))
})

app.get('/account', (req, res) => {
  const { user, basket = [] } = req.session
  if (!user) return res.status(401).json({ server: 'express', user: null })
  res.json({ server: 'express', user: user.name, basket: basket.length })
})

/** Express sends a redirect before the store has the session, and the browser may be faster: so save first. */
const goHome = (req, res, next) => {
  req.session.save((error) => (error ? next(error) : res.redirect(303, '/')))
}

app.post('/basket', (req, res, next) => {
  if (!req.session.user) return res.redirect(303, '/')
  req.session.basket = [...(req.session.basket || []), req.body.item]
  req.flash('notice', `${req.body.item} is in your basket.`)
  goHome(req, res, next)
})

app.post('/login', (req, res, next) => {
  const { name, password } = req.body
  if (name !== 'alice' || password !== 'correct horse') {
    req.flash('notice', 'Wrong name or password.')
    return goHome(req, res, next)
  }
  req.session.regenerate((error) => {
    if (error) return next(error)
    req.session.user = { name }
    req.flash('notice', `Welcome, ${name}.`)
    goHome(req, res, next)
  })
})

app.post('/logout', (req, res, next) => {
  req.session.destroy((error) => (error ? next(error) : res.redirect(303, '/')))
})

const style = fs.readFileSync(path.join(__dirname, 'style.css'), 'utf8')
const escape = (text) => String(text).replace(/[&<>"']/g, (letter) => `&#${letter.charCodeAt(0)};`)

const loginForm = `
  <form method="post" action="/login">
    <label>Name <input name="name" autocomplete="username" required autofocus></label>
    <label>Password <input name="password" type="password" autocomplete="current-password" required></label>
    <button>Log in</button>
    <p class="hint">alice, correct horse</p>
  </form>`

const basketOf = (user, basket) => `
  <p>You are logged in as <strong id="user">${escape(user.name)}</strong>.</p>
  <ul>${basket.map((item) => `<li>${escape(item)}</li>`).join('')}</ul>
  <form method="post" action="/basket">
    <label>Item <input name="item" required autofocus></label>
    <button>Put into the basket</button>
  </form>
  <form method="post" action="/logout"><button class="quiet">Log out</button></form>`

const page = (notices, content) => `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <title>Express</title>
    <style>${style}</style>
  </head>
  <body>
    <main>
      <h1>Served by <span id="server">Express</span></h1>
      ${notices.map((notice) => `<p class="notice">${escape(notice)}</p>`).join('')}
      ${content}
      <p class="other"><a href="${escape(OTHER)}/">The same session, served by axum</a></p>
    </main>
  </body>
</html>`

const server = app.listen(Number(PORT), '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`)
})
// Started by the axum half, it ends with it.
if (process.env.ENDS_WITH_STDIN) process.stdin.resume().on('end', () => process.exit())
