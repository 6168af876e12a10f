// Looks at the pages of a daemon as a person does, and prints one line for each complaint.
//
// node look.js URL PID [DIR]: the daemon's address, its process, which is stopped at the end, and where pictures go.
"use strict";
const fs = require("fs");
const path = require("path");
const { chromium } = require("playwright-core");
const axe = fs.readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const [base, pid, pictures] = process.argv.slice(2);
const complain = (text) => console.log(`complaint: ${text}`);
const check = (holds, text) => holds || complain(text);
const QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync"];

/** A page that reports every error, every blocked piece and every request to anywhere else. */
const open = async (browser, options) => {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  page.expectErrors = false;
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type()) && !page.expectErrors) complain(`console: ${message.text()}`);
  });
  page.on("pageerror", (error) => complain(`script: ${error.message}`));
  page.on("request", (request) => {
    const url = request.url();
    check(url.startsWith(base) || url.startsWith("data:"), `a request to ${url}`);
  });
  return page;
};

const picture = async (page, name) => {
  const fullPage = !name.startsWith("list-");
  if (pictures) await page.screenshot({ path: path.join(pictures, `${name}.png`), fullPage });
};

/** Nothing serious for axe, no script but our own, no sideways scrolling. */
const inspect = async (page, name) => {
  await page.evaluate(`${axe};0`);
  const found = await page.evaluate(() => axe.run());
  for (const rule of found.violations.filter((rule) => ["serious", "critical"].includes(rule.impact))) {
    complain(`${name}: axe ${rule.id}: ${rule.nodes.map((node) => node.html).join(" ").slice(0, 300)}`);
  }
  const scripts = await page.evaluate(() => document.querySelectorAll("script, img, iframe, object, [onerror]").length);
  check(scripts <= 1, `${name}: ${scripts} elements that could run something`);
  const [wide, screen] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
  check(wide <= screen, `${name}: ${wide} wide on a screen of ${screen}`);
  check(!(await page.title()).includes("owned"), `${name}: an injected script ran`);
};

const everyLook = async (browser) => {
  const looks = [["desktop", 1280, 900, "light"], ["desktop-dark", 1280, 900, "dark"], ["phone", 390, 844, "light"],
    ["phone-dark", 390, 844, "dark"]];
  for (const [name, width, height, colorScheme] of looks) {
    const page = await open(browser, { viewport: { width, height }, colorScheme });
    for (const [shown, where] of [["list", "/"], ["upstream", "/upstreams/shop"], ["incidents", "/incidents"],
      ["logs", "/logs"], ["runbooks", "/runbooks/"], ["filter", "/?impact=none&page=2"], ["nothing", "/?q=nothing"],
      ["healthy", "/upstreams/healthy-001"]]) {
      await page.goto(base + where);
      await inspect(page, `${shown} on ${name}`);
      await picture(page, `${shown}-${name}`);
    }
    await page.context().close();
  }
};

const theFault = async (browser) => {
  const page = await open(browser, { viewport: { width: 1280, height: 900 } });
  await page.goto(`${base}/`);
  const first = page.locator(".row").first();
  check((await first.innerText()).includes("users feel it"), "the first row is not the fault that users feel");
  check((await page.locator(".row").count()) === 100, "not one page of rows");
  await page.keyboard.press("Tab");
  check((await page.evaluate(() => document.activeElement.className)) === "skip", "Tab does not begin at the skip link");
  await page.getByRole("link", { name: "shop", exact: true }).click();
  check((await page.locator("h1").innerText()) === "shop", "the link does not lead to the upstream");
  const text = await page.locator("main").innerText();
  for (const wanted of ["origin_error", "Hop to fix: origin", "users feel it", "fix this", "bad_gateway"]) {
    check(text.includes(wanted), `the page of the upstream lacks ${wanted}`);
  }
  const failure = page.locator("#failures details:has-text('origin')").first();
  await failure.locator("summary").focus();
  await page.keyboard.press("Enter");
  check((await failure.innerText()).includes("<script>document.title='owned'</script>"), "the injected header is not shown as text");
  await page.context().close();
};

const thePlace = async (browser) => {
  const page = await open(browser, { viewport: { width: 1280, height: 500 } });
  await page.context().grantPermissions(["clipboard-read", "clipboard-write"]);
  await page.goto(`${base}/upstreams/shop`);
  await page.locator("#incidents details").first().locator("summary").first().scrollIntoViewIfNeeded();
  const opened = page.locator("#summary");
  await opened.locator("summary").click();
  const asOf = () => page.locator("#as-of").getAttribute("datetime");
  const [before, scrolled] = [await asOf(), await page.evaluate(() => scrollY)];
  await page.locator("#copy").focus({ timeout: 5000 });
  await page.evaluate((y) => scrollTo(0, y), scrolled);
  await page.waitForFunction((old) => document.getElementById("as-of").dateTime !== old, before, { timeout: 20000 });
  check(await opened.evaluate((details) => details.open), "an update closed what was open");
  check(Math.abs((await page.evaluate(() => scrollY)) - scrolled) < 60, "an update moved the reader");
  check((await page.evaluate(() => document.activeElement.id)) === "copy", "an update took the focus away");
  await page.locator("#copy").click();
  const copied = await page.evaluate(() => navigator.clipboard.readText());
  check(copied.startsWith("shop: origin_error"), `copied: ${copied}`);
  await page.context().close();
};

const withoutScripts = async (browser) => {
  const page = await open(browser, { javaScriptEnabled: false });
  await page.goto(`${base}/upstreams/shop`);
  check((await page.locator("h1").innerText()) === "shop", "without scripts there is no page");
  check(!(await page.locator("#copy").isVisible()), "without scripts there is a button that does nothing");
  await page.locator("#summary summary").click();
  check((await page.locator("#summary-text").innerText()).includes("Hop to fix: origin"), "without scripts there is no summary");
  await page.context().close();
};

const whenItIsGone = async (browser) => {
  const page = await open(browser, {});
  await page.goto(`${base}/`);
  page.expectErrors = true;
  process.kill(Number(pid), "SIGKILL");
  await page.waitForFunction(() => document.getElementById("age").textContent.includes("not up to date"), null, { timeout: 20000 });
  check((await page.locator(".row").count()) === 100, "what was known is gone");
  await page.context().close();
};

(async () => {
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: QUIET });
  for (const look of [everyLook, theFault, thePlace, withoutScripts, whenItIsGone]) await look(browser);
  await browser.close();
  console.log("looked at everything");
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
