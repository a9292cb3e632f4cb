/* Words of scripts of the Korean pages that those who wrote the scripts did not translate. */
Documentation.addTranslations({
  locale: "ko",
  messages: {
    "Search finished, found one page matching the search query.": [
      "${resultCount}개의 페이지를 찾았습니다.",
    ],
    "Hide Search Matches": "찾은 곳 표시 끄기",
    "Your search did not match any documents. Please make sure that all words are spelled correctly and that you've selected enough categories.":
      "찾는 말이 있는 페이지가 없습니다. 철자를 확인하거나 다른 말로 찾아보십시오.",
  },
  plural_expr: "0",
});
if (typeof messages !== "undefined") {
  const korean = {
    copy: "복사",
    copy_to_clipboard: "클립보드에 복사",
    copy_success: "복사했습니다",
    copy_failure: "복사하지 못했습니다",
  };
  iconCopy = iconCopy.replace(messages.en.copy_to_clipboard, korean.copy_to_clipboard);
  iconCheck = iconCheck.replace(messages.en.copy_success, korean.copy_success);
  Object.assign(messages.en, korean);
}
