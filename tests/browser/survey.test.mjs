// Answers a survey in a real browser: with the mouse, with the keyboard alone, without JavaScript, and on a phone in Chinese.
//
// The environment says where: RAPPORT_CHROMIUM the browser, RAPPORT_LINKS the address of an invitation for each story as JSON, RAPPORT_SHOTS the
// folder for pictures. tests/tests/integration/browser.rs sets all of it up, and asks the server afterwards what came of it.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { chromium } from "playwright-core";

const links = JSON.parse(process.env.RAPPORT_LINKS);
const shots = process.env.RAPPORT_SHOTS;
const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const desktop = { viewport: { width: 1000, height: 900 }, locale: "en-GB" };
const phone = { viewport: { width: 390, height: 844 }, locale: "zh-CN", hasTouch: true, isMobile: true };

let browser;

before(async () => {
    browser = await chromium.launch({
        executablePath: process.env.RAPPORT_CHROMIUM,
        // Nothing but the page is to be asked for.
        args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
            "--disable-component-update", "--disable-sync"],
    });
});

after(async () => {
    await browser?.close();
});

/** Opens a page of its own; fails if it logs an error, asks another host for something, or breaks its own rules of content. */
async function open(address, options = desktop) {
    const context = await browser.newContext(options);
    const page = await context.newPage();
    const host = new URL(address).host;
    const wrong = [];
    page.on("console", (message) => {
        // A page with wrong answers is 422, which Chromium calls an error; and it asks for an icon that nobody promised.
        const expected = message.text().includes("422") || message.location().url.endsWith("/favicon.ico");
        if (message.type() === "error" && !expected) wrong.push(message.text());
    });
    page.on("pageerror", (error) => wrong.push(String(error)));
    page.on("request", (request) => {
        if (new URL(request.url()).host !== host) wrong.push(`asks ${request.url()}`);
    });
    await page.goto(address);
    return { page, done: async () => {
        assert.deepEqual(wrong, []);
        await context.close();
    } };
}

/** No serious finding of axe, and nothing that is wider than the window. */
async function accessible(page) {
    await page.evaluate(axe);
    const findings = await page.evaluate(async () => {
        const found = await globalThis.axe.run(document, { resultTypes: ["violations"] });
        return found.violations.map(({ id, impact, nodes }) => ({ id, impact, where: nodes.map((node) => node.html) }));
    });
    assert.deepEqual(findings.filter(({ impact }) => impact === "serious" || impact === "critical"), []);
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    assert.ok(wide <= 0, `the page is ${wide} pixels wider than the window`);
}

async function shot(page, name) {
    await page.screenshot({ path: join(shots, `${name}.png`), fullPage: true });
}

test("answered with the mouse", async () => {
    const { page, done } = await open(links.mouse);
    await shot(page, "survey-desktop");
    // Nothing chosen: the page says what is missing, and leads there.
    await page.getByRole("button").click();
    await page.getByRole("alert").getByRole("link").click();
    assert.match(page.url(), /#q-score$/);
    await page.getByRole("radio", { name: "9" }).click();
    await page.getByRole("button").click();
    await page.getByLabel(/You gave us 9\. What do you like best/).fill("<b>All</b> of it & \"more\"");
    await page.getByRole("button").click();
    await page.getByText("We read every answer.").waitFor();
    await page.goto(links.mouse);
    await page.getByText("You have answered this survey.").waitFor();
    await done();
});

test("answered with the keyboard alone", async () => {
    const { page, done } = await open(links.keyboard);
    const focused = () => page.evaluate(() => ({
        name: document.activeElement.name ?? "",
        outline: getComputedStyle(document.activeElement).outlineStyle,
        label: document.activeElement.nextElementSibling
            ? getComputedStyle(document.activeElement.nextElementSibling).outlineStyle : "none",
    }));
    await page.keyboard.press("Tab");
    await page.keyboard.press("Space");
    const first = await focused();
    assert.equal(first.name, "q_score");
    assert.ok(first.outline !== "none" || first.label !== "none", "one sees where the focus is");
    // From 0 to 3 by the arrows, as radio buttons work.
    for (let step = 0; step < 3; step += 1) await page.keyboard.press("ArrowRight");
    await page.keyboard.press("Enter");
    await page.getByText("You gave us 3. What went wrong?").waitFor();
    await page.keyboard.press("Tab");
    await page.keyboard.type("It came late.");
    await page.keyboard.press("Tab");
    await page.keyboard.press("Space");
    await page.keyboard.press("Tab");
    await page.keyboard.press("Enter");
    await page.getByText("We read every answer.").waitFor();
    await done();
});

test("answered without JavaScript, by a link of a mail, and gone on with later", async () => {
    const mail = `${links.plain}?answer=10`;
    const first = await open(mail, { ...desktop, javaScriptEnabled: false });
    assert.ok(await first.page.locator("input[value='10']").isChecked());
    await first.page.getByRole("button").click();
    await first.page.getByText("You gave us 10. What do you like best?").waitFor();
    await first.done();
    // Another browser goes on where the first one stopped.
    const { page, done } = await open(links.plain, { ...desktop, javaScriptEnabled: false });
    await page.getByLabel(/What do you like best/).fill("Quick.");
    await page.getByRole("button").click();
    await page.getByText("We read every answer.").waitFor();
    await done();
});

test("answered in Chinese on a phone", async () => {
    const { page, done } = await open(links.phone, phone);
    assert.equal(await page.locator("html").getAttribute("lang"), "zh-CN");
    await shot(page, "survey-phone-zh");
    const sizes = await page.locator(".scale label").evaluateAll((labels) => labels.map((label) => {
        const box = label.getBoundingClientRect();
        return Math.min(box.width, box.height);
    }));
    assert.ok(Math.min(...sizes) >= 24, `a point of the scale is ${Math.min(...sizes)} pixels small`);
    await page.getByRole("radio", { name: "6" }).tap();
    await page.getByRole("button").tap();
    await page.getByLabel(/您给了 6 分/).fill("包装破了");
    await page.getByRole("button").tap();
    await page.getByText("我们会阅读每一份回答").waitFor();
    await done();
});

test("axe finds nothing serious, on any page, narrow and wide", async () => {
    // The page allows no script, also not axe: this story alone has its rules set aside.
    for (const options of [desktop, phone].map((one) => ({ ...one, bypassCSP: true }))) {
        const lang = options.locale;
        const { page, done } = await open(`${links.axe}?lang=${lang === "zh-CN" ? lang : "en"}`, options);
        await accessible(page);
        await page.getByRole("button").click();
        await page.getByRole("alert").waitFor();
        await accessible(page);
        await shot(page, `survey-wrong-${lang}`);
        await done();
    }
    for (const address of [links.mouse, links.unknown]) {
        const { page } = await open(address, { ...desktop, bypassCSP: true });
        await accessible(page);
    }
});
