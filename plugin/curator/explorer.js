// A button in Orthanc Explorer that opens Curator's status. Addresses are relative to /app/, so that
// it works behind a proxy as well; nothing of what is stored comes into the page.
$('#lookup').live('pagebeforeshow', function() {
  $('#curator-status').remove();
  var button = $('<a>')
    .attr('id', 'curator-status')
    .attr('data-role', 'button')
    .attr('data-icon', 'info')
    .attr('data-theme', 'a')
    .attr('data-ajax', 'false')
    .attr('href', '../curator')
    .attr('target', '_blank')
    .text('Curator');
  button.insertAfter($('#lookup-result'));
  button.button();
});
