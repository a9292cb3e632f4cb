(() => {
  // Texts by what they are without their numbers, which differ from one run to the next.
  const words = WORDS;
  const number = /(?<![\w.])[-−]?\d+(?:[.,]\d+)*(?:e[-+−]?\d+)?(?![\w])/g;
  const shown = ["title", "aria-label", "placeholder"];

  function known(text) {
    const numbers = [];
    const pattern = text.replace(number, (found) => `{${numbers.push(found)}}`);
    if (!Object.hasOwn(words, pattern)) return null;
    return words[pattern].replace(/\{(\d+)\}/g, (_, place) => numbers[place - 1]);
  }

  // A text as a whole, else its sentences, else what stands between its commas. The name of an open
  // box stands after a minus sign.
  function translated(text) {
    if (text.startsWith("\u2212 ")) return text.slice(0, 2) + translated(text.slice(2));
    const whole = known(text.trim());
    if (whole !== null) return text.replace(text.trim(), () => whole);
    for (const [between, join] of [[/(?<=\.) /, " "], [/, /, ", "]]) {
      const parts = text.split(between);
      if (parts.length < 2) continue;
      const others = parts.map((part) => (join === " " ? translated(part) : known(part) ?? part));
      if (others.some((part, place) => part !== parts[place])) return others.join(join);
    }
    return text;
  }

  function attributes(element) {
    for (const name of shown) {
      const text = element.getAttribute(name);
      const other = text && translated(text);
      if (other && other !== text) element.setAttribute(name, other);
    }
  }

  function visit(node) {
    if (node.nodeType === Node.TEXT_NODE) {
      const other = translated(node.data);
      if (other !== node.data) node.data = other;
    } else if (node.nodeType === Node.ELEMENT_NODE && !/^(script|style)$/i.test(node.tagName)) {
      attributes(node);
      node.childNodes.forEach(visit);
    }
  }

  new MutationObserver((changes) => {
    for (const change of changes) {
      if (change.type === "characterData") visit(change.target);
      else if (change.type === "attributes") attributes(change.target);
      else change.addedNodes.forEach(visit);
    }
  }).observe(document.documentElement, {
    attributeFilter: shown, attributes: true, characterData: true, childList: true, subtree: true,
  });
})();
